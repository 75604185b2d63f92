// Sample order and masks: pure, exact in number, and as random as they claim.
#include "data/batches/masking.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/support/data_fixture.h"

using namespace dropforge;
using namespace dropforge::data;
using namespace dropforge::test;

namespace {

/// |x − n·p| stays below this with probability 1 − 2e-9 for x ~ Binomial(n, p): six standard deviations.
double binomial_bound(double n, double p) { return 6 * std::sqrt(n * p * (1 - p)) + 1; }

bool near_binomial(double found, double n, double p) { return std::abs(found - n * p) <= binomial_bound(n, p); }

struct Sequence {
    std::vector<int32_t> before, ids, positions, labels;
    std::vector<uint8_t> word_starts;
    std::vector<float> weights;
    int64_t masked = 0;
};

/// [CLS] tokens [SEP] with every third-or-so token the middle of a word, and a few [SEP] and [UNK] inside.
Sequence masked_sequence(Masker& masker, int64_t slots, size_t length, const SampleKey& key, int32_t vocabulary,
                         const SpecialIds& special) {
    Sequence s;
    PhiloxStream random(99, key.sample);
    s.before = {special.cls};
    s.word_starts = {1};
    while (s.before.size() + 1 < length) {
        const uint32_t draw = random.below(40);
        const bool in_special = draw < 2;
        int32_t id = draw == 0 ? special.sep : special.unk;
        while (!in_special && (id == special.sep || id == special.unk || id == special.cls || id == special.pad ||
                               id == special.mask)) {
            id = static_cast<int32_t>(random.below(static_cast<uint32_t>(vocabulary)));
        }
        s.before.push_back(id);
        s.word_starts.push_back(in_special || random.below(3) > 0 ? 1 : 0);
    }
    s.before.push_back(special.sep);
    s.word_starts.push_back(1);
    s.ids = s.before;
    const auto m = static_cast<size_t>(slots);
    s.positions.resize(m);
    s.labels.resize(m);
    s.weights.resize(m);
    s.masked = masker.apply(key, s.ids, s.word_starts, {s.positions, s.labels, s.weights});
    return s;
}

constexpr SpecialIds kScattered{0, 100, 101, 102, 103};
constexpr int32_t kVocabulary = 200;

bool special(int32_t id) { return id == 0 || (id >= 100 && id <= 103); }

}  // namespace

TEST_CASE("the order of an epoch is a permutation at every size, and another one for every seed and epoch") {
    for (const uint64_t size : {1, 2, 3, 4, 5, 16, 17, 63, 64, 65, 1000, 4096, 4097}) {
        const SampleOrder order(size, 7, 3);
        std::vector<bool> seen(size);
        for (uint64_t i = 0; i < size; ++i) {
            const uint64_t sample = order(i);
            REQUIRE(sample < size);
            REQUIRE(!seen[sample]);
            seen[sample] = true;
        }
    }
    const auto fixed_points = [](const SampleOrder& a, auto&& b) {
        int equal = 0;
        for (uint64_t i = 0; i < 4096; ++i) equal += a(i) == b(i) ? 1 : 0;
        return equal;  // of two independent permutations: Poisson with mean 1
    };
    const SampleOrder order(4096, 7, 3);
    CHECK(fixed_points(order, SampleOrder(4096, 7, 4)) < 12);
    CHECK(fixed_points(order, SampleOrder(4096, 8, 3)) < 12);
    CHECK(fixed_points(order, [](uint64_t i) { return i; }) < 12);
    CHECK(fixed_points(order, SampleOrder(4096, 7, 3)) == 4096);
    const SampleOrder huge(uint64_t{1} << 40, 7, 0);
    CHECK(huge(123) < uint64_t{1} << 40);
}

TEST_CASE("neighbours of the order are unrelated: each place goes to each tenth equally often") {
    constexpr uint64_t kSize = 1000, kEpochs = 2000;
    std::vector<int> tenths(10);
    int rising = 0;
    for (uint32_t epoch = 0; epoch < kEpochs; ++epoch) {
        const SampleOrder order(kSize, 42, epoch);
        ++tenths[order(17) / 100];
        rising += order(17) < order(18) ? 1 : 0;
    }
    for (const int count : tenths) CHECK(near_binomial(count, kEpochs, 0.1));
    CHECK(near_binomial(rising, kEpochs, 0.5));
}

TEST_CASE("exactly the promised number of tokens, ascending, with the right labels and unused slots") {
    for (const bool whole_word : {false, true}) {
        for (const auto& shape : {std::pair<size_t, int64_t>{3, 1}, {8, 4}, {64, 20}, {128, 20}, {128, 5}, {512, 80}}) {
            const auto length = shape.first;
            const auto slots = shape.second;
            CAPTURE(length);
            CAPTURE(whole_word);
            Masker masker(kScattered, kVocabulary, {0.15, slots, whole_word});
            for (uint64_t sample = 0; sample < 200; ++sample) {
                const Sequence s = masked_sequence(masker, slots, length, {1, 0, sample}, kVocabulary, kScattered);
                const auto n = std::ranges::count_if(s.before, [](int32_t id) { return !special(id); });
                const int64_t rounded = static_cast<int64_t>(std::lround(0.15 * static_cast<double>(n)));
                const int64_t expected = n == 0 ? 0 : std::min(slots, std::max<int64_t>(1, rounded));
                if (whole_word) {
                    REQUIRE(s.masked <= expected);
                    REQUIRE((s.masked > 0) == (expected > 0));
                } else {
                    REQUIRE(s.masked == expected);
                }
                std::vector<int32_t> restored = s.ids;
                for (int64_t slot = 0; slot < slots; ++slot) {
                    const auto i = static_cast<size_t>(slot), position = static_cast<size_t>(s.positions[i]);
                    REQUIRE(position < length);
                    REQUIRE(s.labels[i] == s.before[position]);
                    REQUIRE(s.weights[i] == (slot < s.masked ? 1.0f : 0.0f));
                    if (slot > 0) REQUIRE((s.positions[i] > s.positions[i - 1] || slot >= s.masked));
                    if (slot >= s.masked) continue;
                    REQUIRE(!special(s.labels[i]));
                    REQUIRE((s.ids[position] == kScattered.mask || !special(s.ids[position])));
                    restored[position] = s.labels[i];
                }
                REQUIRE(restored == s.before);  // nothing outside the slots has changed
            }
        }
    }
}

TEST_CASE("a sequence of special tokens only has no masked token") {
    Masker masker(kScattered, kVocabulary, {0.15, 4, false, {}});
    std::vector<int32_t> ids = {101, 100, 100, 102}, positions(4), labels(4);
    std::vector<float> weights(4, 9.0f);
    CHECK(masker.apply({1, 0, 0}, ids, {}, {positions, labels, weights}) == 0);
    CHECK(ids == std::vector<int32_t>{101, 100, 100, 102});
    CHECK(weights == std::vector<float>(4));
    CHECK(positions == std::vector<int32_t>(4, 3));
    CHECK(labels == std::vector<int32_t>(4, 102));
}

TEST_CASE("80 % [MASK], 10 % random, 10 % kept; positions and replacements are uniform") {
    constexpr size_t kLength = 64;
    constexpr uint64_t kSamples = 20000;
    Masker masker(kScattered, kVocabulary, {0.15, 20, false, {}});
    std::vector<int32_t> original(kLength, 150), positions(20), labels(20);
    original.front() = kScattered.cls;
    original.back() = kScattered.sep;
    std::vector<float> weights(20);
    double masked = 0, to_mask = 0, kept = 0;
    std::vector<double> replaced_by(kVocabulary), at(kLength);
    for (uint64_t sample = 0; sample < kSamples; ++sample) {
        std::vector<int32_t> ids = original;
        const int64_t count = masker.apply({3, 0, sample}, ids, {}, {positions, labels, weights});
        for (size_t slot = 0; slot < static_cast<size_t>(count); ++slot) {
            const auto position = static_cast<size_t>(positions[slot]);
            ++masked;
            ++at[position];
            to_mask += ids[position] == kScattered.mask;
            kept += ids[position] == 150;
            ++replaced_by[static_cast<size_t>(ids[position])];
        }
    }
    CHECK(masked == kSamples * 9);  // round(0.15 · 62)
    const double random_id = 0.1 / (kVocabulary - 5);
    CHECK(near_binomial(to_mask, masked, 0.8));
    CHECK(near_binomial(kept, masked, 0.1 + random_id));
    for (int32_t id = 0; id < kVocabulary; ++id) {
        if (id == 150 || id == kScattered.mask) continue;
        CAPTURE(id);
        const double found = replaced_by[static_cast<size_t>(id)];
        CHECK((special(id) ? found == 0 : near_binomial(found, masked, random_id)));
    }
    for (size_t position = 0; position < kLength; ++position) {
        CAPTURE(position);
        const bool border = position == 0 || position + 1 == kLength;
        CHECK((border ? at[position] == 0 : near_binomial(at[position], kSamples, 9.0 / 62)));
    }
}

TEST_CASE("whole words: all pieces or none, and the count is nearly always met") {
    Masker masker(kScattered, kVocabulary, {0.15, 80, true, {}});
    int64_t met = 0;
    for (uint64_t sample = 0; sample < 500; ++sample) {
        const Sequence s = masked_sequence(masker, 80, 256, {1, 0, sample}, kVocabulary, kScattered);
        std::vector<bool> chosen(s.before.size());
        for (size_t slot = 0; slot < static_cast<size_t>(s.masked); ++slot)
            chosen[static_cast<size_t>(s.positions[slot])] = true;
        int64_t n = 0;
        for (size_t i = 1; i + 1 < s.before.size(); ++i) {
            if (special(s.before[i])) continue;
            ++n;
            if (s.word_starts[i] == 0 && !special(s.before[i - 1])) REQUIRE(chosen[i] == chosen[i - 1]);
        }
        met += s.masked == std::lround(0.15 * static_cast<double>(n)) ? 1 : 0;
    }
    CHECK(met == 500);  // two words of three have one piece, so one always fits

    std::vector<int32_t> ids(12, 150), positions(3), labels(3);
    std::vector<uint8_t> starts(12);
    std::vector<float> weights(3);
    Masker small(kScattered, kVocabulary, {0.15, 3, true, {}});
    CHECK(small.apply({1, 0, 0}, ids, starts, {positions, labels, weights}) == 2);  // one word of 12 pieces: cut
    CHECK(positions == std::vector<int32_t>{0, 1, 11});
}

TEST_CASE("masks depend on seed, epoch and sample, and on nothing else") {
    Masker one(kScattered, kVocabulary, {0.15, 20, false, {}}), other(kScattered, kVocabulary, {0.15, 20, false, {}});
    masked_sequence(other, 20, 128, {1, 0, 3}, kVocabulary, kScattered);  // used before: no memory of it
    const auto drawn = [](Masker& masker, uint64_t seed, uint32_t epoch, uint64_t sample) {
        std::vector<int32_t> ids(128, 150), positions(20), labels(20);
        std::vector<float> weights(20);
        masker.apply({seed, epoch, sample}, ids, {}, {positions, labels, weights});
        ids.insert(ids.end(), positions.begin(), positions.end());
        return ids;
    };
    CHECK(drawn(one, 5, 2, 9) == drawn(other, 5, 2, 9));
    CHECK(drawn(one, 5, 2, 9) != drawn(one, 6, 2, 9));
    CHECK(drawn(one, 5, 2, 9) != drawn(one, 5, 3, 9));
    CHECK(drawn(one, 5, 2, 9) != drawn(one, 5, 2, 10));
}

TEST_CASE(
    "fixed counts: exactly C [MASK] in every sequence, the others in turn stay and change, whatever the sequence") {
    MaskingOptions options{0.15, 20, false, 0.8};
    Masker masker(kScattered, kVocabulary, options);
    int64_t stayed = 0, changed = 0;
    for (uint64_t sample = 0; sample < 300; ++sample) {
        CAPTURE(sample);
        const Sequence s = masked_sequence(masker, 20, 128, {1, 0, sample}, kVocabulary, kScattered);
        REQUIRE(s.masked == 20);
        REQUIRE(std::ranges::count(s.ids, kScattered.mask) == 16);
        for (size_t i = 0; i < 20; ++i) {
            const auto at = static_cast<size_t>(s.positions[i]);
            REQUIRE(s.labels[i] == s.before[at]);
            if (s.ids[at] == kScattered.mask) continue;
            (s.ids[at] == s.before[at] ? stayed : changed) += 1;
        }
    }
    CHECK(stayed + changed == 300 * 4);
    CHECK(stayed >= 600);  // two of four, and now and then the same token is drawn
    CHECK(near_binomial(static_cast<double>(stayed - 600), 600, 1.0 / 195));
}

TEST_CASE(
    "fixed counts in a short sequence: all its words, then other tokens without a slot; [MASK] that was there counts") {
    Masker masker(kScattered, kVocabulary, {0.15, 6, false, 1});
    std::vector<int32_t> ids = {101, 7, 100, 8, 102, 103, 0, 0, 0, 0}, positions(6), labels(6);
    std::vector<float> weights(6);
    CHECK(masker.apply({1, 0, 0}, ids, {}, {positions, labels, weights}) == 2);  // 7 and 8
    // [MASK] stood at 5; with 1 and 3 that are three, and 2, 4, 6 make six.
    CHECK(ids == std::vector<int32_t>{101, 103, 103, 103, 103, 103, 103, 0, 0, 0});
    CHECK(weights == std::vector<float>{1, 1, 0, 0, 0, 0});
    CHECK((positions[0] == 1 && positions[1] == 3));
    CHECK((labels[0] == 7 && labels[1] == 8));

    std::vector<int32_t> many(10, 103);
    const auto apply = [&](std::vector<int32_t> to) {
        return error_of([&] { masker.apply({1, 0, 0}, to, {}, {positions, labels, weights}); });
    };
    CHECK(contains(apply(many), "a sequence holds 10 [MASK], of which it may have 6"));
    CHECK(contains(apply({101, 7, 8}), "6 [MASK] do not fit into 3 tokens"));
    CHECK(contains(error_of([] { Masker(kScattered, kVocabulary, {0.15, 6, true, 1}); }), "whole words"));
    CHECK(contains(error_of([] { Masker(kScattered, kVocabulary, {0.15, 6, false, 1.5}); }), "mask token share 1.5"));
}

TEST_CASE("options out of range are refused") {
    const auto refusal = [](const MaskingOptions& options, int32_t vocabulary = 200) {
        return error_of([&] { Masker(kScattered, vocabulary, options); });
    };
    CHECK(refusal({0.15, 20, false, {}}) == "");
    CHECK(contains(refusal({0.0, 20, false, {}}), "mask probability 0"));
    CHECK(contains(refusal({1.5, 20, false, {}}), "mask probability 1.5"));
    CHECK(contains(refusal({std::nan(""), 20, false, {}}), "mask probability nan"));
    CHECK(contains(refusal({0.15, 0, false, {}}), "max predictions 0"));
    CHECK(contains(refusal({0.15, 20, false, {}}, 5), "only special tokens"));
    CHECK(contains(error_of([] { SampleOrder(0, 1, 1); }), "no samples"));
}
