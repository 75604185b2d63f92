// Runs a Program's ops in order over one arena and bound pointers, with an optional clock on every op.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/memory_plan.h"
#include "engine/program.h"

namespace dropforge {

/// Time of one op over the runs that were clocked.
struct OpTime {
    double seconds = 0;  // sum
    int64_t runs = 0;
};

/// Start and length of one op in one clocked run, for a trace.
struct OpEvent {
    int32_t op;
    double start, seconds;  // seconds since the executor was made
};

/// Runs whose events are kept after a call of Executor::clock with events; later runs still count in times().
constexpr int64_t kEventRuns = 256;

class Executor {
  public:
    /// `program` must outlive the executor. `arena` has at least plan.bytes, begins at a multiple of kArenaAlignment,
    /// and may be shared with other executors that run in turn.
    Executor(const Program& program, const MemoryPlan& plan, void* arena, const kernels::KernelTable& table,
             kernels::Context& context);
    Executor(Executor&&) = default;  // a copy would run on the pointers of the first
    Executor(const Executor&) = delete;

    /// Gives a caller-owned storage its memory, also again later. Throws Error for an unknown name, one that the plan
    /// owns, or nullptr.
    void bind(std::string_view name, void* pointer);
    /// Throws Error naming a storage that an op uses and that was never bound. The first run asks too.
    void require_bound();
    /// Queues all ops; on a backend that records (a GPU), from the second run on as one recording. Throws Error, the
    /// first time, naming a storage that was never bound, and if the number of OpenMP threads has grown since the
    /// program was built. Allocates nothing after the second run. This thread and OpenMP's flush subnormal numbers from
    /// then on.
    void run();

    /// Clock every op from now on (or stop). With events, also keep start and length of each for a trace.
    void clock(bool on, bool events = false);
    /// Run op by op from now on (or stop), each in a range of its name, inside one of its layer's and one of the
    /// program's.
    void profile(bool on);
    std::span<const OpTime> times() const { return times_; }
    std::span<const OpEvent> events() const { return events_; }
    /// When the executor was made, by the steady clock: zero of its events.
    int64_t epoch_ns() const { return epoch_ns_; }
    const Program& program() const { return program_; }

  private:
    void flush_subnormals_of_team();
    void run_ops();
    void run_clocked();
    void run_in_ranges();

    const Program& program_;
    kernels::Context& context_;
    std::vector<void*> pointers_;
    Run run_;
    int flushing_threads_ = 1;  // OpenMP threads, from this one on, that are known to flush subnormal numbers
    bool checked_ = false, clocked_ = false, keep_events_ = false;
    bool ran_ = false, records_ = true;              // whether every op has run once; whether the backend can record
    std::unique_ptr<kernels::Recording> recording_;  // with the pointers that are bound
    std::vector<OpTime> times_;
    std::vector<OpEvent> events_;
    std::vector<std::string> scopes_;  // of each op while profiling: "layer3" of "layer3/fc1"
    int64_t epoch_ns_;
};

}  // namespace dropforge
