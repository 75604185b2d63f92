// A backend's state between calls (a stream, cached GEMM plans) and its memory. The base class is a backend on the
// host: its memory is the process's, and every call has completed when it returns.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace dropforge::kernels {

/// Recorded calls that run again as one (a CUDA graph).
class Recording {
  public:
    Recording() = default;
    virtual ~Recording() = default;
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;
    /// Queues the calls again, with the recorded pointers.
    virtual void run() = 0;
};

/// The kernel that an operation uses on a context, chosen when it first ran, and the reason.
struct KernelChoice {
    std::string operation;  // "gemm bf16 128x768x768 NT +bias …", "attention bf16 …"
    std::string library;    // "cuBLASLt 13.1", "cuDNN 9.19", "own kernel"
    std::string kernel;     // "algorithm 66, tile 128x256"
    std::string reason;     // "fastest of 8: 52 us"
};

/// One context is used by one thread at a time. Kernels, copies and recordings are carried out in the order in which
/// they were queued. Every function throws Error if the device fails.
class Context {
  public:
    Context() = default;
    virtual ~Context() = default;
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;

    /// Whether kernels work on host memory; then no copy and no wait is needed.
    virtual bool on_host() const { return true; }

    /// Memory for the operands of kernels: zeroed, aligned to 256 bytes; nullptr for 0 bytes. Error if there is too
    /// little.
    virtual void* allocate(int64_t bytes);
    virtual void release(void* memory, int64_t bytes) noexcept;
    /// Host memory for copies, zeroed and aligned alike; page-locked where that lets copies overlap kernels.
    virtual void* allocate_host(int64_t bytes) { return Context::allocate(bytes); }
    virtual void release_host(void* memory, int64_t bytes) noexcept { Context::release(memory, bytes); }
    /// Bytes that allocate() can still give, as far as the system knows; -1: not known.
    virtual int64_t free_bytes() const { return -1; }

    /// Queues a copy from host memory to a kernel's operand, or back. The host memory must not change until wait().
    virtual void upload(void* to, const void* host, int64_t bytes);
    virtual void download(void* host, const void* from, int64_t bytes);
    /// Queues a copy of a step's inputs (a few hundred KB) that may overlap the kernels queued before: it goes to a
    /// staging buffer, and from there to `to` in the order of the queue.
    virtual void feed(void* to, const void* host, int64_t bytes) { upload(to, host, bytes); }

    /// A point in the queue, for wait(), which returns when everything queued before the point is done.
    virtual int64_t mark() { return 0; }
    virtual void wait(int64_t) {}
    void synchronize() { wait(mark()); }

    /// Begins a profiler's range `name`, which lasts until end_range(); ranges nest. `name` must outlive the profile.
    /// Kernels of a recording belong to no range.
    virtual void begin_range(const char* /*name*/) {}
    virtual void end_range() {}
    /// Starts or stops a profiler that was told to wait for it (cudaProfilerStart).
    virtual void profiler(bool /*on*/) {}

    /// Records what `calls` queues, without running it. All shapes must have run before, so that plans are chosen and
    /// memory is allocated. nullptr if the backend does not record; the calls are then made again each time.
    virtual std::unique_ptr<Recording> record(const std::function<void()>&) { return nullptr; }

    /// The choices made so far, one for each operation that ran and has several kernels.
    virtual std::vector<KernelChoice> choices() const { return {}; }
    /// Notes for the user since the last call, such as a cache file that cannot be used.
    virtual std::vector<std::string> take_notes() { return {}; }
};

}  // namespace dropforge::kernels
