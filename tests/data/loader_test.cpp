// The loader: the step alone decides the batch; every token once an epoch; nothing allocated, nothing lost.
// label: threads
#include "data/batches/loader.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "tests/support/count_allocations.h"
#include "tests/support/data_fixture.h"

using namespace dropforge;
using namespace dropforge::data;
using namespace dropforge::test;

namespace {

constexpr int32_t kVocabulary = 500;
constexpr int64_t kLength = 32;

struct Data {
    TemporaryFolder folder;
    std::vector<Document> documents = random_documents(300, 60, kVocabulary, 21);

    explicit Data(uint64_t shard_tokens = 1000) {
        write_dataset(folder / "data", documents, kVocabulary, shard_tokens);
    }
    fs::path path() const { return folder / "data"; }
};

LoaderOptions options_of(int64_t batch) {
    LoaderOptions options;
    options.seed = 11;
    options.batch = batch;
    options.length = kLength;
    options.max_predictions = 6;
    return options;
}

/// A sequence and its slots as one comparable value.
using Row = std::vector<int32_t>;

std::vector<Row> rows_of(const Batch& batch) {
    std::vector<Row> rows;
    const auto length = static_cast<size_t>(batch.length), slots = static_cast<size_t>(batch.masked);
    REQUIRE(batch.input_ids.size() == static_cast<size_t>(batch.sequences) * length);
    for (size_t row = 0; row < static_cast<size_t>(batch.sequences); ++row) {
        Row r(batch.input_ids.begin() + static_cast<std::ptrdiff_t>(row * length),
              batch.input_ids.begin() + static_cast<std::ptrdiff_t>((row + 1) * length));
        for (size_t slot = row * slots; slot < (row + 1) * slots; ++slot) {
            r.push_back(batch.masked_positions[slot]);
            r.push_back(batch.masked_labels[slot]);
            r.push_back(static_cast<int32_t>(batch.masked_weights[slot]));
        }
        rows.push_back(std::move(r));
    }
    return rows;
}

/// The rows that `steps` steps give from first_step on.
std::vector<Row> rows_from(const Dataset& dataset, const LoaderOptions& options, uint64_t first_step, uint64_t steps) {
    Loader loader(dataset, kSpecial, options, first_step);
    std::vector<Row> rows;
    for (uint64_t step = 0; step < steps; ++step) {
        for (Row& row : rows_of(loader.next())) rows.push_back(std::move(row));
    }
    return rows;
}

/// The packed tokens of a row, without masks.
Row unmasked(const Row& row) {
    Row tokens(row.begin(), row.begin() + kLength);
    for (size_t i = kLength; i < row.size(); i += 3) tokens[static_cast<size_t>(row[i])] = row[i + 1];
    return tokens;
}

}  // namespace

TEST_CASE(
    "the run's samples are the same for every batch size, number of ranks, prefetch, shard size and starting step") {
    const Data data, other(450);
    const Dataset dataset(data.path(), Split::train), resharded(other.path(), Split::train);
    const uint64_t samples = dataset.sequences(kLength);
    const uint64_t total = samples / 48 * 48 + 96;  // into the second epoch
    const std::vector<Row> expected = rows_from(dataset, options_of(1), 0, total);

    CHECK(rows_from(dataset, options_of(48), 0, total / 48) == expected);
    CHECK(rows_from(resharded, options_of(16), 0, total / 16) == expected);
    LoaderOptions deep = options_of(8);
    deep.prefetch = 17;
    CHECK(rows_from(dataset, deep, 0, total / 8) == expected);
    const std::vector<Row> resumed = rows_from(dataset, options_of(16), 5, 3);
    CHECK(std::equal(resumed.begin(), resumed.end(), expected.begin() + 80));

    std::vector<std::vector<Row>> of_rank;
    for (int rank = 0; rank < 4; ++rank) {
        LoaderOptions options = options_of(16);
        options.rank = rank;
        options.ranks = 4;
        of_rank.push_back(rows_from(dataset, options, 0, total / 16));
    }
    for (size_t g = 0; g < total; ++g) REQUIRE(of_rank[g % 16 / 4][g / 16 * 4 + g % 4] == expected[g]);
}

TEST_CASE("every token is seen exactly once an epoch, but for the named tail") {
    const Data data;
    const Dataset dataset(data.path(), Split::train);
    const uint64_t samples = dataset.sequences(kLength);
    std::map<Row, int> packed;
    for (uint64_t i = 0; i < samples; ++i) {
        Row ids(kLength);
        pack_sequence(dataset, kSpecial, i, ids, {});
        REQUIRE(ids.front() == kSpecial.cls);
        REQUIRE(ids.back() == kSpecial.sep);
        ++packed[ids];
    }
    for (const uint64_t epoch : {0, 1, 5}) {
        std::map<Row, int> seen;
        for (const Row& row : rows_from(dataset, options_of(1), epoch * samples, samples)) ++seen[unmasked(row)];
        CHECK(seen == packed);
    }
    uint64_t kept = 0;
    for (const auto& [ids, count] : packed) {
        kept += static_cast<uint64_t>(count) *
                static_cast<uint64_t>(std::ranges::count_if(ids, [](int32_t id) { return id >= 5; }));
    }
    CHECK(kept + dataset.dropped_tail_tokens(kLength) == dataset.tokens());
    CHECK(dataset.dropped_tail_tokens(kLength) < static_cast<uint64_t>(kLength) - 2);
}

TEST_CASE("dynamic masks change with the epoch, static ones do not") {
    const Data data;
    const Dataset dataset(data.path(), Split::train);
    const uint64_t samples = dataset.sequences(kLength);
    const auto masks = [&](bool dynamic, uint64_t epoch) {
        LoaderOptions options = options_of(1);
        options.dynamic = dynamic;
        std::map<Row, Row> by_tokens;
        for (const Row& row : rows_from(dataset, options, epoch * samples, samples)) by_tokens[unmasked(row)] = row;
        return by_tokens;
    };
    CHECK(masks(true, 0) != masks(true, 1));
    CHECK(masks(false, 0) == masks(false, 1));
    CHECK(masks(false, 1) == masks(true, 0));
}

TEST_CASE("whole-word masking reaches the words through the shards' borders") {
    const Data data;
    const Dataset dataset(data.path(), Split::train);
    LoaderOptions options = options_of(1);
    options.whole_word = true;
    BatchMaker maker(dataset, kSpecial, options);
    Batch batch;
    const SampleOrder order(dataset.sequences(kLength), options.seed, 0);
    for (uint64_t step = 0; step < 100; ++step) {
        maker.fill(step, batch);
        Row ids(kLength);
        std::vector<uint8_t> starts(kLength);
        pack_sequence(dataset, kSpecial, order(step), ids, starts);
        std::vector<bool> chosen(kLength);
        for (size_t slot = 0; slot < 6; ++slot) {
            if (batch.masked_weights[slot] > 0) chosen[static_cast<size_t>(batch.masked_positions[slot])] = true;
        }
        for (size_t i = 2; i + 1 < kLength; ++i) {
            if (starts[i] == 0) REQUIRE(chosen[i] == chosen[i - 1]);
        }
    }
}

TEST_CASE("skipped samples are never shown and all others keep their order") {
    const Data data;
    const Dataset dataset(data.path(), Split::train);
    std::vector<Row> expected = rows_from(dataset, options_of(1), 0, 80);
    expected.erase(expected.begin() + 50, expected.begin() + 60);
    expected.erase(expected.begin() + 8, expected.begin() + 10);
    LoaderOptions options = options_of(4);
    options.skipped = {{8, 10}, {50, 60}};
    const std::vector<Row> shown = rows_from(dataset, options, 0, 17);
    CHECK(shown == expected);
    CHECK(expected.size() == 68);
}

TEST_CASE("batches live in a ring: nothing is allocated and no array moves after the first rounds") {
    const Data data;
    const Dataset dataset(data.path(), Split::train);
    for (const bool whole_word : {false, true}) {
        LoaderOptions options = options_of(4);
        options.prefetch = 2;
        options.whole_word = whole_word;
        Loader loader(dataset, kSpecial, options);
        std::vector<const int32_t*> first;
        for (int step = 0; step < 3; ++step) first.push_back(loader.next().input_ids.data());
        for (int step = 0; step < 30; ++step) loader.next();  // the masker's scratch has grown as far as it can
        const int64_t before = allocations();
        for (size_t step = 0; step < 60; ++step) {
            if (loader.next().input_ids.data() != first[step % 3]) FAIL("array moved");
        }
        if (kCountsAllocations) CHECK(allocations() == before);
        CHECK(loader.seconds_waited() >= 0);
    }
}

TEST_CASE("the batch of a step far away is there at once") {
    const Data data;
    const Dataset dataset(data.path(), Split::train);
    const auto begin = std::chrono::steady_clock::now();
    Loader loader(dataset, kSpecial, options_of(8), uint64_t{1} << 32);
    CHECK(loader.next().sequences == 8);
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(1));
}

TEST_CASE("a shard damaged in the middle fails in next(), after the whole batches before it") {
    TemporaryFolder folder;
    write_dataset(folder / "data", random_documents(60, 30000, kVocabulary, 22), kVocabulary,
                  10'000'000);  // about 900k tokens: 2 blocks
    std::string bytes = read_text(folder / "data/train-00000.shard");
    bytes[sizeof(ShardHeader) + ShardHeader::kBlock + 1] ^= 1;
    write_text(folder / "data/train-00000.shard", bytes);
    const Dataset dataset(folder / "data", Split::train);
    Loader loader(dataset, kSpecial, options_of(1));
    int intact_steps = 0;
    const std::string error = error_of([&] {
        for (; intact_steps < 100000; ++intact_steps) loader.next();
    });
    CHECK(contains(error, "train-00000.shard: block 1"));
    CHECK(contains(error_of([&] { loader.next(); }), "block 1"));  // and again
    BatchMaker maker(dataset, kSpecial, options_of(1));
    Batch batch;
    for (int step = 0; step < intact_steps; ++step) maker.fill(static_cast<uint64_t>(step), batch);
    CHECK(contains(error_of([&] { maker.fill(static_cast<uint64_t>(intact_steps), batch); }), "block 1"));
}

TEST_CASE("evaluation shows every sequence once, always with the same masks, and fills the last batch with weight 0") {
    const Data data;
    const Dataset dataset(data.path(), Split::train);
    EvaluationBatches eight(dataset, kSpecial, options_of(8)), one(dataset, kSpecial, options_of(1));
    REQUIRE(eight.sequences() == dataset.sequences(kLength));
    REQUIRE(eight.sequences() % 8 != 0);
    REQUIRE(eight.batches() == eight.sequences() / 8 + 1);
    Batch batch, single;
    for (uint64_t i = 0; i < eight.batches(); ++i) {
        eight.fill(i, batch);
        const std::vector<Row> rows = rows_of(batch);
        for (uint64_t row = 0; row < 8; ++row) {
            if (i * 8 + row < eight.sequences()) {
                one.fill(i * 8 + row, single);
                REQUIRE(rows[row] == rows_of(single).front());
            } else {
                for (size_t slot = row * 6; slot < (row + 1) * 6; ++slot) REQUIRE(batch.masked_weights[slot] == 0);
            }
        }
    }
    CHECK(contains(error_of([&] { eight.fill(eight.batches(), batch); }), "evaluation batch"));
}

TEST_CASE("bad options and a dataset too small are refused in words") {
    const Data data;
    const Dataset dataset(data.path(), Split::train), empty(data.path(), Split::validation);
    const auto refusal = [&](auto&& change, const Dataset& from) {
        LoaderOptions options = options_of(8);
        change(options);
        return error_of([&] { Loader(from, kSpecial, options); });
    };
    CHECK(refusal([](LoaderOptions&) {}, dataset) == "");
    CHECK(contains(refusal([](LoaderOptions& o) { o.batch = 0; }, dataset), "batch 0"));
    CHECK(contains(refusal([](LoaderOptions& o) { o.ranks = 3; }, dataset), "not a multiple of 3 ranks"));
    CHECK(contains(refusal([](LoaderOptions& o) { o.rank = 1; }, dataset), "rank 1 of 1"));
    CHECK(contains(refusal(
                       [](LoaderOptions& o) {
                           o.length = 2;
                           o.max_predictions = 0;
                       },
                       dataset),
                   "max predictions 0"));
    CHECK(contains(refusal([](LoaderOptions& o) { o.length = 4; }, dataset), "a sequence of 4 holds 2"));
    CHECK(contains(refusal([](LoaderOptions& o) { o.prefetch = 0; }, dataset), "prefetch 0"));
    CHECK(contains(refusal([](LoaderOptions& o) { o.skipped = {{5, 5}}; }, dataset), "skipped samples"));
    CHECK(contains(refusal([](LoaderOptions& o) { o.skipped = {{5, 9}, {8, 10}}; }, dataset), "skipped samples"));
    CHECK(contains(refusal([](LoaderOptions&) {}, empty), "fewer than one sequence of 32"));
}
