// Device copies of the small host arrays that operations take (the spans of kernels.h).
#pragma once

#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

#include "kernels/context.h"

namespace dropforge::kernels::on_cuda {

/// Device copies of arrays, looked up by their bytes: a repeated call allocates and uploads nothing, so that it can be
/// captured into a CUDA graph. The copies are few and live as long as the object.
class Constants {
  public:
    explicit Constants(Context& context) : context_(context) {}
    ~Constants();
    Constants(const Constants&) = delete;
    Constants& operator=(const Constants&) = delete;

    /// The device copy of the span; nullptr if it is empty. T has no padding, whose bytes would be compared.
    template <typename T>
    const T* find(std::span<const T> values) {
        static_assert(std::is_trivially_copyable_v<T>);
        return static_cast<const T*>(find_bytes(std::as_bytes(values)));
    }

  private:
    struct Copy {
        std::vector<std::byte> host;  // the key, and the source of an asynchronous upload
        void* device;
    };
    const void* find_bytes(std::span<const std::byte> bytes);

    Context& context_;
    std::vector<Copy> copies_;
};

}  // namespace dropforge::kernels::on_cuda
