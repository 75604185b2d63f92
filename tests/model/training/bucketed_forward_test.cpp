// Sequences of any length through Programs of length buckets: what comes out for a sequence does not depend on the
// bucket, on the other sequences, or on how many there are.
// label: levels
#include "model/training/bucketed_forward.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "model/network/bert.h"
#include "model/network/names.h"
#include "tests/support/message_of.h"
#include "tests/support/step_fixture.h"

namespace dropforge {
namespace {

using namespace test;

constexpr uint32_t kMost = 37;  // no multiple of 8
constexpr const char *kRows = "rows", *kFirst = "first";

/// Bound outputs: the last layer at all rows, f32 [B*S,h], and, computed by itself, at [CLS], f32 [B,h].
Program all_and_first(const Parameters& parameters, const BuildOptions& options) {
    Program program("all and first");
    Builder builder(program, parameters, options);
    const auto keep = [&](const char* name, Tensor x) {
        ops::cast(program, name, x, program.bound(name, DType::f32, x.shape));
    };
    {
        const Program::Scope scope(program, "all");
        keep(kRows, add_encoder(builder, HeadRows::all));
    }
    keep(kFirst, add_encoder(builder, HeadRows::cls));
    return program;
}

struct Network {
    Parameters parameters{small_config(0), {}};
    std::vector<float> values = std::vector<float>(static_cast<size_t>(parameters.size()));

    Network() { parameters.initialize(values.data(), 1); }
    BucketedForward::Build build() const {
        return [this](const BuildOptions& options) { return all_and_first(parameters, options); };
    }
    BucketedForward forward(const BuildOptions& largest) const {
        return {parameters, build(), largest, values.data(), kernels::cpu()};
    }
};

BuildOptions largest(int64_t batch, DType dtype = DType::f32) {
    return {.batch = batch, .sequence = kMost, .dtype = dtype, .types = true, .lengths = true};
}

/// The n-th sequence of a test: its length, ids and types are its own.
struct Sequence {
    std::vector<int32_t> ids, types;

    explicit Sequence(uint64_t n, uint32_t longest = kMost) {
        PhiloxStream random(n, 0);
        for (uint32_t left = 1 + random.below(longest); left > 0; --left) {
            ids.push_back(static_cast<int32_t>(random.below(203)));
            types.push_back(static_cast<int32_t>(random.below(2)));
        }
    }
    int64_t length() const { return static_cast<int64_t>(ids.size()); }
};

data::Batch batch_of(const std::vector<Sequence>& sequences, int64_t length) {
    data::Batch batch{.sequences = static_cast<int64_t>(sequences.size()), .length = length};
    for (const Sequence& s : sequences) {
        batch.lengths.push_back(static_cast<int32_t>(s.length()));
        batch.input_ids.insert(batch.input_ids.end(), s.ids.begin(), s.ids.end());
        batch.token_type_ids.insert(batch.token_type_ids.end(), s.types.begin(), s.types.end());
        batch.input_ids.resize(static_cast<size_t>(length) * batch.lengths.size(), kSpecial.pad);
        batch.token_type_ids.resize(batch.input_ids.size());
    }
    return batch;
}

using Vectors = std::vector<float>;

/// What the network says of each sequence: its rows, then [CLS].
std::vector<Vectors> results(BucketedForward& forward, const std::vector<Sequence>& sequences, int64_t length) {
    const auto h = static_cast<size_t>(small_config(0).hidden), s = static_cast<size_t>(length);
    forward.run(batch_of(sequences, length));
    std::vector<Vectors> all;
    for (size_t i = 0; i < sequences.size(); ++i) {
        const auto rows = forward.output<float>(kRows).subspan(i * s * h, sequences[i].ids.size() * h);
        const auto first = forward.output<float>(kFirst).subspan(i * h, h);
        all.emplace_back(rows.begin(), rows.end()).insert(all.back().end(), first.begin(), first.end());
    }
    return all;
}

TEST_CASE("a bucket is a multiple of eight tokens, or as long as the longest sequence") {
    CHECK(bucket_length(1, 37) == 8);
    CHECK(bucket_length(8, 37) == 8);
    CHECK(bucket_length(9, 37) == 16);
    CHECK(bucket_length(33, 37) == 37);
    CHECK(bucket_length(37, 37) == 37);
    CHECK(bucket_length(3, 5) == 5);
    CHECK(bucket_length(3, 37, 2) == 4);
    CHECK(bucket_length(37, 37, 2) == 37);
    CHECK(message_of([] { bucket_length(38, 37); }) == "no bucket of sequences of up to 37 tokens has 38");
    CHECK(message_of([] { bucket_length(0, 37); }) == "no bucket of sequences of up to 37 tokens has 0");
}

TEST_CASE("a sequence has the same bits in any bucket, among any others, in a batch of any size") {
    const Network network;
    for (const DType dtype : {DType::f32, DType::bf16}) {
        CAPTURE(name_of(dtype));
        BucketedForward alone = network.forward(largest(1, dtype)), four = network.forward(largest(4, dtype)),
                        nine = network.forward(largest(9, dtype));
        std::vector<Sequence> sequences;
        for (uint64_t n = 0; n < 9; ++n) sequences.emplace_back(n);
        const std::vector<Vectors> longest_bucket = results(nine, sequences, kMost);
        for (size_t i = 0; i < sequences.size(); ++i) {
            CAPTURE(sequences[i].length());
            const int64_t own = bucket_length(sequences[i].length(), kMost);
            CHECK(results(alone, {sequences[i]}, own)[0] == longest_bucket[i]);
            CHECK(results(four, {Sequence(100), sequences[i], Sequence(101)}, kMost)[1] == longest_bucket[i]);
        }
        std::ranges::sort(sequences, {}, &Sequence::length);
        sequences.erase(sequences.begin() + 3, sequences.end());  // short ones, in a batch that is not full
        const std::vector<Vectors> short_bucket =
            results(nine, sequences, bucket_length(sequences.back().length(), kMost));
        for (size_t i = 0; i < sequences.size(); ++i) CHECK(results(four, sequences, kMost)[i] == short_bucket[i]);
    }
}

TEST_CASE("the row of [CLS], computed alone, is the first of all rows to f32 rounding") {
    const Network network;
    BucketedForward forward = network.forward(largest(2));
    const auto h = static_cast<size_t>(small_config(0).hidden);
    for (const Vectors& v : results(forward, {Sequence(1), Sequence(2)}, kMost))
        for (size_t i = 0; i < h; ++i) CHECK(v[v.size() - h + i] == doctest::Approx(v[i]).epsilon(1e-5));
}

TEST_CASE("sequences that fill a batch up leave nothing of the batch before") {
    const Network network;
    BucketedForward forward = network.forward(largest(4));
    const std::vector<Sequence> few = {Sequence(3), Sequence(4)};
    const std::vector<Vectors> fresh = results(forward, few, kMost);
    results(forward, {Sequence(5), Sequence(6), Sequence(7), Sequence(8)}, kMost);
    CHECK(results(forward, few, kMost) == fresh);
}

TEST_CASE("every bucket runs in a borrowed arena of arena_bytes, and a smaller one is refused") {
    const Network network;
    const BuildOptions options = largest(3);
    const int64_t bytes = BucketedForward::arena_bytes(network.build(), options);
    const ForwardMemory memory(network.parameters, network.values.data(), DType::f32, bytes, kernels::cpu());
    BucketedForward borrows(network.parameters, network.build(), options, memory.resources());
    BucketedForward owns = network.forward(options);
    const Sequence shortest(7, 8);
    for (const int64_t bucket : {int64_t{8}, int64_t{16}, int64_t{24}, int64_t{32}, int64_t{kMost}})
        CHECK(results(borrows, {shortest}, bucket) == results(owns, {shortest}, bucket));
    Resources small = memory.resources();
    small.arena_bytes = 1000;
    BucketedForward refused(network.parameters, network.build(), options, small);
    const std::string message = message_of([&] { refused.run(batch_of({Sequence(1)}, kMost)); });
    CHECK(message.starts_with("all and first: needs an arena of "));
    CHECK(message.ends_with(" bytes, there are 1000"));
}

TEST_CASE("buckets of another step have the same bits") {
    const Network network;
    BucketedForward finer(network.parameters, network.build(), largest(3), network.values.data(), kernels::cpu(), 2);
    BucketedForward coarse = network.forward(largest(3));
    const Sequence sequence(7, 11);
    const Vectors vectors = results(coarse, {sequence}, 16)[0];
    for (int64_t length = bucket_length(sequence.length(), kMost, 2); length < kMost; length += 2)
        CHECK(results(finer, {sequence}, length)[0] == vectors);
    CHECK(results(finer, {sequence}, kMost)[0] == vectors);
}

TEST_CASE("batches that no Program takes are refused") {
    const Network network;
    BucketedForward forward = network.forward(largest(2));
    const auto trouble = [&](const data::Batch& batch) { return message_of([&] { forward.run(batch); }); };
    CHECK(trouble(batch_of({Sequence(1)}, 38)) == "no bucket of sequences of up to 37 tokens has 38");
    CHECK(trouble(batch_of({Sequence(1)}, 36)) == "a batch of 36 tokens a sequence: no bucket's length");
    CHECK(trouble(batch_of({Sequence(1), Sequence(1), Sequence(1)}, kMost)) ==
          "a batch of 3 sequences with 3 lengths, for Programs of 2");
    data::Batch without = batch_of({Sequence(1)}, kMost);
    without.lengths.clear();
    CHECK(trouble(without) == "a batch of 1 sequences with 0 lengths, for Programs of 2");
}

}  // namespace
}  // namespace dropforge
