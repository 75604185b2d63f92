// Small arrays that a caller has in host memory (the spans of kernels.h) and kernels need in device memory.
#pragma once

#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

#include "kernels/context.h"

namespace dropforge::kernels::on_cuda {

/// Device copies of arrays, each made once and found again by its bytes: a call that was made before allocates and
/// uploads nothing, so it can be captured into a CUDA graph. They are few and live as long as this.
class Constants {
  public:
    explicit Constants(Context& context) : context_(context) {}
    ~Constants();
    Constants(const Constants&) = delete;
    Constants& operator=(const Constants&) = delete;

    /// nullptr for an empty span. T has no padding, whose bytes would count.
    template <typename T>
    const T* find(std::span<const T> values) {
        static_assert(std::is_trivially_copyable_v<T>);
        return static_cast<const T*>(find_bytes(std::as_bytes(values)));
    }

  private:
    struct Copy {
        std::vector<std::byte> host;  // what it is found by, and what an upload under way reads
        void* device;
    };
    const void* find_bytes(std::span<const std::byte> bytes);

    Context& context_;
    std::vector<Copy> copies_;
};

}  // namespace dropforge::kernels::on_cuda
