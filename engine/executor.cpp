#include "engine/executor.h"

#include <omp.h>

#include <chrono>

#include "base/error.h"
#include "base/subnormals.h"
#include "kernels/device_lost.h"

namespace dropforge {

namespace {

int64_t now_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

/// Calls f and adds the op's name to its errors. A device that is lost may have been lost at an earlier, queued op.
template <typename Call>
void name_failing(const Program& program, const Op& op, const Call& call) {
    try {
        call();
    } catch (const kernels::DeviceLost& lost) {
        throw kernels::DeviceLost("{}: at op {}: {}", program.name(), op.name, lost.what());
    }
}

}  // namespace

Executor::Executor(const Program& program, const MemoryPlan& plan, void* arena, const kernels::KernelTable& table,
                   kernels::Context& context)
    : program_(program),
      context_(context),
      pointers_(program.storages().size()),
      run_(pointers_.data(), table, context),
      times_(program.ops().size()),
      epoch_ns_(now_ns()) {
    require(plan.slots.size() == pointers_.size(), "{}: a plan of {} slots for {} storages", program.name(),
            plan.slots.size(), pointers_.size());
    require(arena != nullptr || plan.bytes == 0, "{}: no arena for a plan of {} bytes", program.name(), plan.bytes);
    require(reinterpret_cast<uintptr_t>(arena) % kArenaAlignment == 0, "{}: the arena is not aligned to {} bytes",
            program.name(), kArenaAlignment);
    for (size_t i = 0; i < pointers_.size(); ++i)
        if (plan.slots[i].offset >= 0) pointers_[i] = static_cast<char*>(arena) + plan.slots[i].offset;
}

void Executor::bind(std::string_view name, void* pointer) {
    const auto storage = static_cast<size_t>(program_.find(name));
    require(program_.storages()[storage].owner == Owner::caller, "{}: {} lies in the arena and cannot be bound",
            program_.name(), name);
    require(pointer != nullptr || program_.storages()[storage].bytes == 0, "{}: {} bound to no memory", program_.name(),
            name);
    if (pointers_[storage] != pointer) recording_.reset();
    pointers_[storage] = pointer;
}

void Executor::require_bound() {
    for (const Op& op : program_.ops())
        for (const auto* list : {&op.reads, &op.writes})
            for (int32_t id : *list) {
                const Storage& storage = program_.storages()[static_cast<size_t>(id)];
                require(pointers_[static_cast<size_t>(id)] != nullptr || storage.bytes == 0,
                        "{}: {} was never bound; op {} uses it", program_.name(), storage.name, op.name);
            }
    checked_ = true;
}

/// Threads that OpenMP creates later inherit this thread's mode; existing ones must be set.
void Executor::flush_subnormals_of_team() {
    flush_subnormals();
    if (!context_.on_host() || omp_get_max_threads() <= flushing_threads_) return;
    flushing_threads_ = omp_get_max_threads();
#pragma omp parallel
    flush_subnormals();
}

void Executor::run() {
    if (!checked_) require_bound();
    flush_subnormals_of_team();
    require(omp_get_max_threads() <= program_.max_threads(), "{}: {} threads to run on, but its scratch is for {}",
            program_.name(), omp_get_max_threads(), program_.max_threads());
    if (clocked_) return run_clocked();
    if (!scopes_.empty()) return run_in_ranges();
    if (ran_ && records_ && !recording_) {
        recording_ = context_.record([this] { run_ops(); });
        records_ = recording_ != nullptr;
    }
    if (recording_)
        recording_->run();
    else
        run_ops();
    ran_ = true;
}

void Executor::run_ops() {
    for (const Op& op : program_.ops()) name_failing(program_, op, [&] { op.run(run_); });
}

/// Times each op; where kernels are queued, it waits for each.
void Executor::run_clocked() {
    const size_t count = program_.ops().size();
    const bool keep = keep_events_ && events_.capacity() - events_.size() >= count;
    context_.synchronize();
    int64_t start = now_ns();
    for (size_t i = 0; i < count; ++i) {
        name_failing(program_, program_.ops()[i], [&] {
            program_.ops()[i].run(run_);
            context_.synchronize();
        });
        const int64_t end = now_ns();
        const double seconds = static_cast<double>(end - start) * 1e-9;
        times_[i].seconds += seconds;
        ++times_[i].runs;
        if (keep) events_.push_back({static_cast<int32_t>(i), static_cast<double>(start - epoch_ns_) * 1e-9, seconds});
        start = end;
    }
    ran_ = true;
}

/// Consecutive ops of one scope share its range.
void Executor::run_in_ranges() {
    const std::vector<Op>& ops = program_.ops();
    context_.begin_range(program_.name().c_str());
    for (size_t i = 0; i < ops.size(); ++i) {
        const bool first = i == 0 || scopes_[i] != scopes_[i - 1];
        const bool last = i + 1 == ops.size() || scopes_[i] != scopes_[i + 1];
        if (first && !scopes_[i].empty()) context_.begin_range(scopes_[i].c_str());
        context_.begin_range(ops[i].name.c_str());
        name_failing(program_, ops[i], [&] { ops[i].run(run_); });
        context_.end_range();
        if (last && !scopes_[i].empty()) context_.end_range();
    }
    context_.end_range();
    ran_ = true;
}

void Executor::profile(bool on) {
    scopes_.clear();
    if (!on) return;
    for (const Op& op : program_.ops()) {
        const size_t slash = op.name.rfind('/');
        scopes_.push_back(slash == std::string::npos ? "" : op.name.substr(0, slash));
    }
}

void Executor::clock(bool on, bool events) {
    clocked_ = on;
    keep_events_ = on && events;
    if (keep_events_) events_.reserve(events_.size() + static_cast<size_t>(kEventRuns) * program_.ops().size());
}

}  // namespace dropforge
