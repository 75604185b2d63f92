// Memory that a context keeps between calls; it grows at the first call of a larger shape.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace dropforge::kernels::on_cpu {

/// Uninitialised memory, aligned to 64 bytes. Large buffers are on huge pages where the system has them: packed panels
/// are read with long strides, and 4 KiB pages would cost a TLB miss for each row.
class Buffer {
  public:
    /// At least `bytes` of memory; the contents are lost if it has to grow.
    void* reserve(size_t bytes) {
        if (bytes > size_) {
            constexpr size_t kHugePage = size_t{2} << 20;
            const size_t alignment = bytes >= kHugePage ? kHugePage : 64;
            const size_t size = (bytes + alignment - 1) / alignment * alignment;
            memory_.reset();
            size_ = 0;
            memory_.reset(std::aligned_alloc(alignment, size));
            if (!memory_) throw std::bad_alloc();
            if (alignment == kHugePage) madvise(memory_.get(), size, MADV_HUGEPAGE);  // only advice
            size_ = size;
        }
        return memory_.get();
    }

  private:
    struct Free {
        void operator()(void* p) const { std::free(p); }
    };
    std::unique_ptr<void, Free> memory_;
    size_t size_ = 0;
};

}  // namespace dropforge::kernels::on_cpu
