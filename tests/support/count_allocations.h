// Counts every heap allocation of the process, libraries' included, by standing in front of glibc's allocator. Include
// it in one file of a test program.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define DROPFORGE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define DROPFORGE_SANITIZED 1
#endif
#endif

namespace dropforge {

inline std::atomic<int64_t> allocation_count = 0;
inline int64_t allocations() { return allocation_count.load(); }

#ifdef DROPFORGE_SANITIZED
constexpr bool kCountsAllocations = false;  // a sanitizer has an allocator of its own
#else
constexpr bool kCountsAllocations = true;
#endif

}  // namespace dropforge

#ifndef DROPFORGE_SANITIZED
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* old, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

void* malloc(size_t size) {
    ++dropforge::allocation_count;
    return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
    ++dropforge::allocation_count;
    return __libc_calloc(count, size);
}
void* realloc(void* old, size_t size) {
    ++dropforge::allocation_count;
    return __libc_realloc(old, size);
}
void* memalign(size_t alignment, size_t size) {
    ++dropforge::allocation_count;
    return __libc_memalign(alignment, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
    ++dropforge::allocation_count;
    return __libc_memalign(alignment, size);
}
int posix_memalign(void** result, size_t alignment, size_t size) {
    ++dropforge::allocation_count;
    *result = __libc_memalign(alignment, size);
    return *result == nullptr ? 12 : 0;  // ENOMEM
}
}
#endif
