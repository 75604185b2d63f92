// Runs a Program's ops in order over one arena and bound pointers, and can time each op.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/memory_plan.h"
#include "engine/program.h"

namespace dropforge {

/// Time of an op over all clocked runs.
struct OpTime {
    double seconds = 0;  // sum
    int64_t runs = 0;
};

/// Start and duration of an op in one clocked run, for a trace.
struct OpEvent {
    int32_t op;
    double start, seconds;  // start: in seconds since the executor was constructed
};

/// Number of runs whose events are kept after Executor::clock(true, true); later runs still count in times().
constexpr int64_t kEventRuns = 256;

class Executor {
  public:
    /// `program` must outlive the executor. `arena` has at least plan.bytes bytes and is aligned to kArenaAlignment;
    /// executors that run one after the other may share it.
    Executor(const Program& program, const MemoryPlan& plan, void* arena, const kernels::KernelTable& table,
             kernels::Context& context);
    Executor(Executor&&) = default;  // a copy would run on the pointers of the first
    Executor(const Executor&) = delete;

    /// Binds a caller-owned storage to memory; a later call replaces it. Error for an unknown name, a storage that the
    /// plan owns, or nullptr.
    void bind(std::string_view name, void* pointer);
    /// Error that names a storage which an op uses and which is not bound. The first run checks this too.
    void require_bound();
    /// Queues all ops; on a backend that records (a GPU), from the second run on as one recording. Error at the first
    /// run if a storage is not bound, and at any if the number of OpenMP threads has grown since the program was built.
    /// Allocates nothing after the second run. From the first run on, this thread and OpenMP's flush subnormal numbers.
    void run();

    /// Starts or stops timing every op. With `events`, start and duration of each are kept for a trace.
    void clock(bool on, bool events = false);
    /// Starts or stops running op by op in a profiler's ranges: one for the program, inside it one for each layer,
    /// inside that one for each op.
    void profile(bool on);
    std::span<const OpTime> times() const { return times_; }
    std::span<const OpEvent> events() const { return events_; }
    /// The steady clock when the executor was constructed: zero of its events.
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
    int flushing_threads_ = 1;  // number of OpenMP threads that are known to flush subnormal numbers
    bool checked_ = false, clocked_ = false, keep_events_ = false;
    bool ran_ = false, records_ = true;              // whether every op has run once; whether the backend can record
    std::unique_ptr<kernels::Recording> recording_;  // with the pointers that are bound
    std::vector<OpTime> times_;
    std::vector<OpEvent> events_;
    std::vector<std::string> scopes_;  // of each op while profiling: "layer3" of "layer3/fc1"
    int64_t epoch_ns_;
};

}  // namespace dropforge
