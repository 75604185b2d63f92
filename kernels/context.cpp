#include "kernels/context.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace dropforge::kernels {

namespace {

constexpr size_t kHugePage = size_t{2} << 20;

/// Bytes to allocate for `bytes`: a multiple of a page, or of a huge page for large blocks.
size_t mapped_bytes(int64_t bytes) {
    const auto size = static_cast<size_t>(bytes);
    const size_t page = size >= 2 * kHugePage ? kHugePage : static_cast<size_t>(sysconf(_SC_PAGESIZE));
    return (size + page - 1) / page * page;
}

}  // namespace

void* Context::allocate(int64_t bytes) {
    require(bytes >= 0, "a buffer of {} bytes", bytes);
    if (bytes == 0) return nullptr;
    const size_t size = mapped_bytes(bytes);
    const bool huge = size >= 2 * kHugePage;
    const size_t reserved = huge ? size + kHugePage : size;  // slack for alignment to a huge page
    void* map = mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        throw Error("cannot get {} bytes ({:.2f} GB) of memory: {}", bytes, static_cast<double>(bytes) / 1e9,
                    std::strerror(errno));
    if (!huge) return map;
    auto* start = static_cast<char*>(map);
    const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(map) % kHugePage) % kHugePage;
    if (before > 0) munmap(start, before);
    munmap(start + before + size, reserved - size - before);
    madvise(start + before, size, MADV_HUGEPAGE);  // only advice: its failure costs speed, nothing else
    return start + before;
}

void Context::release(void* memory, int64_t bytes) noexcept {
    if (memory != nullptr) munmap(memory, mapped_bytes(bytes));
}

void Context::upload(void* to, const void* host, int64_t bytes) { std::memcpy(to, host, static_cast<size_t>(bytes)); }
void Context::download(void* host, const void* from, int64_t bytes) {
    std::memcpy(host, from, static_cast<size_t>(bytes));
}

}  // namespace dropforge::kernels
