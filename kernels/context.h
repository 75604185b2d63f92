// What a backend keeps between calls (a stream, cached GEMM plans), and the memory that its kernels work on. The base
// class is a backend on the host: its memory is the process's own, and every call has ended when it returns.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace dropforge::kernels {

/// Calls that were recorded once and can be run again at once (a CUDA graph).
class Recording {
  public:
    Recording() = default;
    virtual ~Recording() = default;
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;
    /// Queues all of them again, with the pointers of the recording.
    virtual void run() = 0;
};

/// Which kernel serves an operation on a context, chosen when it first ran, and why that one.
struct KernelChoice {
    std::string operation;  // "gemm bf16 128x768x768 NT +bias …", "gelu beside gemm …", "attention bf16 …"
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

    /// Whether kernels work on host memory as it is; then nothing needs to be copied, and nothing has to be waited for.
    virtual bool on_host() const { return true; }

    /// Memory for the operands of kernels: zeroed, aligned to 256 bytes. Error if there is not enough; nullptr for 0.
    virtual void* allocate(int64_t bytes);
    virtual void release(void* memory, int64_t bytes) noexcept;
    /// Host memory that copies go from and to, likewise (page-locked where that lets them run beside kernels).
    virtual void* allocate_host(int64_t bytes) { return Context::allocate(bytes); }
    virtual void release_host(void* memory, int64_t bytes) noexcept { Context::release(memory, bytes); }
    /// Bytes that allocate() can still give, as far as the system knows; -1: not known.
    virtual int64_t free_bytes() const { return -1; }

    /// Queues a copy from host memory to a kernel's operand, or back. The host memory must stay as it is until wait().
    virtual void upload(void* to, const void* host, int64_t bytes);
    virtual void download(void* host, const void* from, int64_t bytes);
    /// Queues a copy of a step's inputs (a few hundred KB) that may overtake the kernels queued before: it is made to a
    /// place of its own, and put where it belongs in its turn.
    virtual void feed(void* to, const void* host, int64_t bytes) { upload(to, host, bytes); }

    /// A point in the order of work, and waiting until all that was queued before it is done.
    virtual int64_t mark() { return 0; }
    virtual void wait(int64_t) {}
    void synchronize() { wait(mark()); }

    /// For a profiler that watches: what is queued until end_range() belongs to `name`; ranges nest. `name` must stay
    /// until the profiler is done. Kernels of a recording belong to no range.
    virtual void begin_range(const char* /*name*/) {}
    virtual void end_range() {}
    /// Begins or ends what a profiler that waits for this is to collect.
    virtual void profiler(bool /*on*/) {}

    /// Records what `calls` queues, without running it. All shapes must have run before (so that plans are chosen and
    /// memory is there). nullptr: this backend does not record, calls are to be made again each time.
    virtual std::unique_ptr<Recording> record(const std::function<void()>&) { return nullptr; }

    /// Of the operations for which there was a choice, those that have run. Empty: this backend has one kernel for
    /// each.
    virtual std::vector<KernelChoice> choices() const { return {}; }
    /// What a user should know and does not stop anything, each given once: a file that cannot be used.
    virtual std::vector<std::string> take_notes() { return {}; }
};

}  // namespace dropforge::kernels
