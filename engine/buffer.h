// Owners of memory, on the host or on a context's device.
#pragma once

#include <utility>

#include "kernels/context.h"

namespace dropforge {

/// Zeroed memory, aligned to 256 bytes; on the host in huge pages where the system has them.
class Buffer {
  public:
    Buffer() = default;
    /// Host memory.
    explicit Buffer(int64_t bytes) : Buffer(bytes, host()) {}
    /// Memory of the kernels of `context`, which must outlive the buffer.
    Buffer(int64_t bytes, kernels::Context& context)
        : context_(&context), data_(context.allocate(bytes)), bytes_(bytes) {}
    ~Buffer() {
        if (data_ != nullptr) context_->release(data_, bytes_);
    }
    Buffer(Buffer&& other) noexcept
        : context_(other.context_),
          data_(std::exchange(other.data_, nullptr)),
          bytes_(std::exchange(other.bytes_, 0)) {}
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

/// Zeroed host memory for a context's copies.
class HostBuffer {
  public:
    HostBuffer(int64_t bytes, kernels::Context& context)
        : context_(&context), data_(context.allocate_host(bytes)), bytes_(bytes) {}
    ~HostBuffer() {
        if (data_ != nullptr) context_->release_host(data_, bytes_);
    }
    HostBuffer(HostBuffer&& other) noexcept
        : context_(other.context_), data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_) {}
    HostBuffer& operator=(HostBuffer&&) = delete;

    template <typename T = void>
    T* as() const {
        return static_cast<T*>(data_);
    }

  private:
    kernels::Context* context_;
    void* data_;
    int64_t bytes_;
};

/// Memory of a context's kernels with a copy for the host, which is allocated at the first use. Where kernels work on
/// host memory, the two are one and nothing is copied.
class Mirrored {
  public:
    Mirrored(int64_t bytes, kernels::Context& context) : context_(context), device_(bytes, context) {}

    template <typename T = void>
    T* device() const {
        return device_.as<T>();
    }
    template <typename T = void>
    T* host() const {
        if (context_.on_host()) return device_.as<T>();
        if (copy_.bytes() != device_.bytes()) copy_ = Buffer(device_.bytes());
        return copy_.as<T>();
    }
    int64_t bytes() const { return device_.bytes(); }
    /// Queues the copy from the device to the host (fetch) or back (store); the caller waits for the context.
    void fetch() const {
        if (!context_.on_host()) context_.download(host(), device(), bytes());
    }
    void store() const {
        if (!context_.on_host()) context_.upload(device(), host(), bytes());
    }

  private:
    kernels::Context& context_;
    Buffer device_;
    mutable Buffer copy_;
};

}  // namespace dropforge
