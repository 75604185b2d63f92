#include "model/training/bucketed_forward.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "model/network/names.h"

namespace dropforge {

namespace {

constexpr int64_t kBucketStep = 8;

BuildOptions with_length(BuildOptions options, int64_t length) {
    options.sequence = length;
    return options;
}

/// The batch with sequences of one token at its end, `sequences` in all. Their ids are 0, which every vocabulary has.
data::Batch filled_up(const data::Batch& batch, int64_t sequences, bool types) {
    data::Batch full = batch;
    full.sequences = sequences;
    const auto tokens = static_cast<size_t>(sequences * batch.length);
    full.input_ids.resize(tokens);
    if (types) full.token_type_ids.resize(tokens);
    full.lengths.resize(static_cast<size_t>(sequences), 1);
    return full;
}

}  // namespace

int64_t bucket_length(int64_t longest, int64_t most) {
    require(longest >= 1 && longest <= most, "no bucket of sequences of up to {} tokens has {}", most, longest);
    return std::min((longest + kBucketStep - 1) / kBucketStep * kBucketStep, most);
}

BucketedForward::BucketedForward(const Parameters& parameters, Build build, const BuildOptions& largest,
                                 const float* values, const kernels::KernelTable& table)
    : parameters_(parameters), build_(std::move(build)), largest_(largest) {
    memory_.emplace(parameters, values, largest.dtype, arena_bytes(build_, largest), table);
    resources_ = memory_->resources();
}

BucketedForward::BucketedForward(const Parameters& parameters, Build build, const BuildOptions& largest,
                                 const Resources& resources)
    : parameters_(parameters), build_(std::move(build)), largest_(largest), resources_(resources) {}

int64_t BucketedForward::arena_bytes(const Build& build, const BuildOptions& largest) {
    int64_t bytes = 0;  // of all: a planner's result need not grow with the length
    for (int64_t length = 0; length < largest.sequence;) {
        length = bucket_length(length + 1, largest.sequence);
        bytes = std::max(bytes, plan_memory(build(with_length(largest, length))).bytes);
    }
    return bytes;
}

ForwardPass& BucketedForward::pass_of(int64_t length) {
    require(bucket_length(length, largest_.sequence) == length, "a batch of {} tokens a sequence: no bucket's length",
            length);
    const auto found = passes_.find(length);
    if (found != passes_.end()) return found->second;
    return passes_.try_emplace(length, parameters_, build_(with_length(largest_, length)), resources_).first->second;
}

void BucketedForward::run(const data::Batch& batch) {
    require(batch.sequences <= largest_.batch && std::cmp_equal(batch.lengths.size(), batch.sequences),
            "a batch of {} sequences with {} lengths, for Programs of {}", batch.sequences, batch.lengths.size(),
            largest_.batch);
    ForwardPass& pass = pass_of(batch.length);
    pass.run(filled_up(batch, largest_.batch, largest_.types));
    last_ = &pass;
}

}  // namespace dropforge
