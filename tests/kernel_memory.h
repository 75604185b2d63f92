// Memory for the operands of kernels under test: the host's, in blocks of exactly the bytes asked for, so that an
// overrun is seen by the address sanitizer. Where the tests run on a real GPU (DROPFORGE_CUDA_DEVICE) it is
// page-locked, which kernels and the host both reach: slow for kernels, but no test has to copy.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <new>
#include <vector>

#include "tests/simt/observed.h"
#if DROPFORGE_CUDA_DEVICE
#include "kernels/cuda/backend.h"
#endif

namespace dropforge::kernels {

#if DROPFORGE_CUDA_DEVICE
/// Page-locked blocks, kept by size for the next one that wants the same: the system takes long to make one.
class PageLocked {
  public:
    static PageLocked& blocks() {
        static auto* all = new PageLocked;  // never freed: the driver may be gone when the program ends
        return *all;
    }
    void* take(size_t bytes) {
        std::vector<void*>& free = free_[bytes];
        if (free.empty()) return context_->allocate_host(static_cast<int64_t>(bytes));
        void* block = free.back();
        free.pop_back();
        return block;
    }
    void give_back(void* block, size_t bytes) { free_[bytes].push_back(block); }

  private:
    std::unique_ptr<Context> context_ = cuda().create_context();
    std::map<size_t, std::vector<void*>> free_;
};
#endif

template <typename T>
struct KernelMemory {
    using value_type = T;
    KernelMemory() = default;
    template <typename Other>
    KernelMemory(const KernelMemory<Other>&) {}  // NOLINT(google-explicit-constructor): what an allocator needs

    T* allocate(size_t n) {
#if DROPFORGE_CUDA_DEVICE
        return static_cast<T*>(PageLocked::blocks().take(n * sizeof(T)));
#else
        return static_cast<T*>(::operator new(n * sizeof(T)));
#endif
    }
    void deallocate(T* p, size_t n) {
#if DROPFORGE_CUDA_DEVICE
        PageLocked::blocks().give_back(p, n * sizeof(T));
#else
        simt::declare_written(p, n * sizeof(T));  // what comes there next is other memory
        ::operator delete(p);
#endif
    }
    friend bool operator==(KernelMemory, KernelMemory) { return true; }
};

}  // namespace dropforge::kernels
