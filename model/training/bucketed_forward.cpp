#include "model/training/bucketed_forward.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "model/network/names.h"

namespace dropforge {

namespace {

BuildOptions with_length(BuildOptions options, int64_t length) {
    options.sequence = length;
    return options;
}

/// The batch with sequences of one token at its end, `sequences` in all. Their ids are 0, which every vocabulary has,
/// and their masked positions their only one.
data::Batch filled_up(const data::Batch& batch, int64_t sequences, bool types) {
    data::Batch full = batch;
    full.sequences = sequences;
    const auto tokens = static_cast<size_t>(sequences * batch.length);
    full.input_ids.resize(tokens);
    if (types) full.token_type_ids.resize(tokens);
    full.masked_positions.resize(static_cast<size_t>(sequences * batch.masked));
    full.lengths.resize(static_cast<size_t>(sequences), 1);
    return full;
}

}  // namespace

int64_t bucket_length(int64_t longest, int64_t most, int64_t step) {
    require(longest >= 1 && longest <= most, "no bucket of sequences of up to {} tokens has {}", most, longest);
    return std::min((longest + step - 1) / step * step, most);
}

BucketedForward::BucketedForward(const Parameters& parameters, Build build, const BuildOptions& largest,
                                 const float* values, const kernels::KernelTable& table, int64_t step)
    : parameters_(parameters), build_(std::move(build)), largest_(largest), step_(step) {
    memory_.emplace(parameters, values, largest.dtype, arena_bytes(build_, largest, step), table);
    resources_ = memory_->resources();
}

BucketedForward::BucketedForward(const Parameters& parameters, Build build, const BuildOptions& largest,
                                 const Resources& resources, int64_t step)
    : parameters_(parameters), build_(std::move(build)), largest_(largest), step_(step), resources_(resources) {}

int64_t BucketedForward::arena_bytes(const Build& build, const BuildOptions& largest, int64_t step) {
    int64_t bytes = 0;  // of all: a planner's result need not grow with the length
    for (int64_t length = 0; length < largest.sequence;) {
        length = bucket_length(length + 1, largest.sequence, step);
        bytes = std::max(bytes, plan_memory(build(with_length(largest, length))).bytes);
    }
    return bytes;
}

ForwardPass& BucketedForward::pass_of(int64_t length) {
    require(bucket_length(length, largest_.sequence, step_) == length,
            "a batch of {} tokens a sequence: no bucket's length", length);
    const auto found = passes_.find(length);
    if (found != passes_.end()) return found->second;
    return passes_.try_emplace(length, parameters_, build_(with_length(largest_, length)), resources_).first->second;
}

void BucketedForward::run(const data::Batch& batch) {
    require(batch.sequences <= largest_.batch && std::cmp_equal(batch.lengths.size(), batch.sequences),
            "a batch of {} sequences with {} lengths, for Programs of {}", batch.sequences, batch.lengths.size(),
            largest_.batch);
    require(batch.masked == largest_.masked, "a batch of {} masked positions a sequence, for Programs of {}",
            batch.masked, largest_.masked);
    ForwardPass& pass = pass_of(batch.length);
    pass.run(filled_up(batch, largest_.batch, largest_.types));
    last_ = &pass;
}

}  // namespace dropforge
