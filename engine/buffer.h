// Memory that belongs to somebody: of the host, or of the device that a context stands for.
#pragma once

#include <utility>

#include "kernels/context.h"

namespace dropforge {

/// Zeroed memory, aligned to 256 bytes, on the host in huge pages where the system grants them; freed at the end.
class Buffer {
  public:
    Buffer() = default;
    /// Of the host.
    explicit Buffer(int64_t bytes) : Buffer(bytes, host()) {}
    /// Where the kernels of `context` work, which must outlive the buffer.
    Buffer(int64_t bytes, kernels::Context& context)
        : context_(&context), data_(context.allocate(bytes)), bytes_(bytes) {}
    ~Buffer() {
        if (data_ != nullptr) context_->release(data_, bytes_);
    }
    Buffer(Buffer&& other) noexcept
        : context_(other.context_), data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
    Buffer& operator=(Buffer&& other) noexcept {
        std::swap(context_, other.context_);
        std::swap(data_, other.data_);
        std::swap(bytes_, other.bytes_);
        return *this;
    }

    template <typename T = void>
    T* as() const {
        return static_cast<T*>(data_);
    }
    int64_t bytes() const { return bytes_; }

  private:
    static kernels::Context& host() {
        static kernels::Context context;
        return context;
    }

    kernels::Context* context_ = nullptr;
    void* data_ = nullptr;
    int64_t bytes_ = 0;
};

}  // namespace dropforge
