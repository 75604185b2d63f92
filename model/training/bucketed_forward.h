// Forward passes over sequences of any length: a Program for each length bucket, all over one arena.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string_view>

#include "data/batches/batch.h"
#include "model/network/builder.h"
#include "model/training/forward_memory.h"
#include "model/training/forward_pass.h"

namespace dropforge {

/// Tokens from one bucket to the next.
constexpr int64_t kBucketStep = 8;
/// The step where many batches run: padding costs a CPU more than a Program does; a GPU chooses algorithms and makes a
/// recording for each.
constexpr int64_t bucket_step(bool gpu) { return gpu ? kBucketStep : 2; }

/// The length of the bucket for sequences of up to `longest` tokens: a multiple of `step`, but at most `most`, the
/// longest sequences that there are. 1 ≤ longest ≤ most.
int64_t bucket_length(int64_t longest, int64_t most, int64_t step = kBucketStep);

class BucketedForward {
  public:
    /// Makes the Program for `options`, which differ in `sequence` alone from one call to the next.
    using Build = std::function<Program(const BuildOptions& options)>;

    /// Owns its memory (ForwardMemory). `largest` has the shape of a batch of the longest sequences, and `lengths`;
    /// `step` is that of the buckets.
    /// `parameters` and `values`, in host memory, must outlive this.
    BucketedForward(const Parameters& parameters, Build build, const BuildOptions& largest, const float* values,
                    const kernels::KernelTable& table, int64_t step = kBucketStep);
    /// Borrows everything; the arena has at least arena_bytes(build, largest, step).
    BucketedForward(const Parameters& parameters, Build build, const BuildOptions& largest, const Resources& resources,
                    int64_t step = kBucketStep);

    /// Bytes of an arena in which the Program of every bucket runs.
    static int64_t arena_bytes(const Build& build, const BuildOptions& largest, int64_t step = kBucketStep);

    /// Runs the batch, whose length is that of a bucket, and waits. It may have fewer sequences than the Programs: the
    /// others are then of one token, and what the Program leaves for them has no meaning.
    void run(const data::Batch& batch);
    /// What the last run has left in a caller-owned tensor of that name, until the next run.
    template <typename T>
    std::span<const T> output(std::string_view name) const {
        return last_->output<T>(name);
    }

  private:
    ForwardPass& pass_of(int64_t length);

    const Parameters& parameters_;
    Build build_;
    BuildOptions largest_;
    int64_t step_ = kBucketStep;
    std::optional<ForwardMemory> memory_;
    Resources resources_;
    std::map<int64_t, ForwardPass> passes_;  // by length
    const ForwardPass* last_ = nullptr;      // the one that ran last
};

}  // namespace dropforge
