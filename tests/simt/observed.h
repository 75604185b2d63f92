// What tests tell the observer of kernels' memory accesses (observer.h), if there is one; nothing where no kernel is
// emulated.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#if DROPFORGE_CUDA_EMULATED
#include "tests/simt/simt.h"
#else
namespace dropforge::simt {
inline bool observed() { return false; }
inline void declare_unwritten(const void*, size_t) {}
inline void declare_written(const void*, size_t) {}
inline void declare_all_written() {}
inline std::string complaints() { return {}; }
}  // namespace dropforge::simt
#endif

namespace dropforge::simt {

/// The heap, for arrays of whose contents an observer is told: it is told too when they go.
struct ObservedMemory : std::allocator<std::byte> {
    template <typename>
    struct rebind {
        using other = ObservedMemory;
    };
    void deallocate(std::byte* p, size_t bytes) {
        declare_written(p, bytes);
        std::allocator<std::byte>::deallocate(p, bytes);
    }
};

}  // namespace dropforge::simt
