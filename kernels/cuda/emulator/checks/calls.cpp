// The functions that clang's -fsanitize=thread calls before each access to memory. Kernel files are compiled with it
// and linked without its library, so that the calls come here and are reported to the observer of the launch. Their
// memcpy, memmove and memset are renamed to those below.
#include <cstring>

#include "kernels/cuda/emulator/observer.h"

using dropforge::simt::AccessKind;
using dropforge::simt::note_access;

#define SITE __builtin_return_address(0)
#define ACCESSES_OF(BYTES)                                                                        \
    void __tsan_read##BYTES(void* p) { note_access(p, BYTES, AccessKind::read, SITE); }           \
    void __tsan_write##BYTES(void* p) { note_access(p, BYTES, AccessKind::write, SITE); }         \
    void __tsan_unaligned_read##BYTES(void* p) { note_access(p, BYTES, AccessKind::read, SITE); } \
    void __tsan_unaligned_write##BYTES(void* p) { note_access(p, BYTES, AccessKind::write, SITE); }

extern "C" {

void __tsan_init() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
ACCESSES_OF(1)
ACCESSES_OF(2)
ACCESSES_OF(4)
ACCESSES_OF(8)
ACCESSES_OF(16)

void* dropforge_simt_memcpy(void* to, const void* from, size_t bytes) {
    note_access(from, bytes, AccessKind::read, SITE);
    note_access(to, bytes, AccessKind::write, SITE);
    return std::memcpy(to, from, bytes);
}
void* dropforge_simt_memmove(void* to, const void* from, size_t bytes) {
    note_access(from, bytes, AccessKind::read, SITE);
    note_access(to, bytes, AccessKind::write, SITE);
    return std::memmove(to, from, bytes);
}
void* dropforge_simt_memset(void* to, int value, size_t bytes) {
    note_access(to, bytes, AccessKind::write, SITE);
    return std::memset(to, value, bytes);
}

}  // extern "C"
