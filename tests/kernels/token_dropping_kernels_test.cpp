// Token dropping: values of positions, the first k of them (ties, NaN and infinities too), the table of importance.
// label: simt-quick
// label: levels
#include <array>
#include <bit>
#include <numeric>

#include "tests/support/kernel_testing.h"

namespace dropforge::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();

uint32_t bits(float x) { return std::bit_cast<uint32_t>(x); }

/// Calls f with one thread and with three, and in three orders of CUDA's threads.
template <typename F>
void with_threads(F&& f) {
    for (size_t schedule = 0; schedule < 3; ++schedule) {
        const Scheduled scheduled(schedule, Repeat::other_threads);
        f();
    }
}

// -------------------------------------------------------------------------------------------------------- token_values
constexpr uint32_t kSite = 77;

std::vector<float> token_values(Setup& s, const std::vector<int32_t>& ids, const std::vector<float>& table,
                                int64_t batch, const uint32_t* noise) {
    std::vector<float> values(ids.size(), kNan);
    s.call(s.kernels.token_values, TokenValues{.ids = ids.data(),
                                               .table = table.data(),
                                               .noise = noise,
                                               .values = values.data(),
                                               .batch = batch,
                                               .sequence = static_cast<int64_t>(ids.size()) / batch,
                                               .site = kSite});
    return values;
}

TEST_CASE("token_values: the table's entries, bit for bit") {
    for (const KernelTable* backend : backends()) {
        INFO(text(*backend));
        Setup s(*backend, DType::f32, DType::f32, 0);
        const std::vector<float> table = {10, -1e4f, 1e4f, -0.0f, kInfinity, 0x1p-140f};
        for (const int64_t batch : {1, 3, 50}) {
            for (const int64_t sequence : {1, 7, 512}) {
                std::vector<int32_t> ids;
                for (int64_t i = 0; i < batch * sequence; ++i) ids.push_back(static_cast<int32_t>(i * 7 % 6));
                with_threads([&] {
                    const std::vector<float> values = token_values(s, ids, table, batch, nullptr);
                    for (size_t i = 0; i < ids.size(); ++i)
                        if (bits(values[i]) != bits(table[static_cast<size_t>(ids[i])])) FAIL_CHECK("position ", i);
                });
            }
        }
    }
}

TEST_CASE("token_values: noise is Philox's word of (position, sequence of the step, site, step)") {
    const std::array<uint32_t, 4> state = {0x12345678, 0x9abcdef0, 7, 3};
    for (const KernelTable* backend : backends()) {
        for (const int64_t sequence : {1, 5, 31, 128}) {
            INFO(text(*backend), " sequence ", sequence);
            Setup s(*backend, DType::f32, DType::f32, 0);
            constexpr int64_t batch = 200;
            const std::vector<float> table = {0, 1e4f};
            std::vector<int32_t> ids(static_cast<size_t>(batch * sequence));
            for (size_t i = 0; i < ids.size(); ++i) ids[i] = i % 9 == 4;
            with_threads([&] {
                const std::vector<float> values = token_values(s, ids, table, batch, state.data());
                for (uint32_t b = 0; b < batch; ++b) {
                    for (uint32_t p = 0; p < sequence; ++p) {
                        const size_t i = b * static_cast<size_t>(sequence) + p;
                        const Philox4 words = philox4x32({p / 4, 3 + b, kSite, 7}, 0x9abcdef012345678);
                        const float u = static_cast<float>(words[p % 4] >> 8) / 16777216.0f;
                        if (values[i] != table[static_cast<size_t>(ids[i])] + u) FAIL_CHECK("position ", b, ", ", p);
                        if (!(u >= 0 && u < 1)) FAIL_CHECK("a draw of ", u);
                    }
                }
            });
        }
    }
}

TEST_CASE("token_values: noise does not depend on how a step is cut into micro-batches") {
    for (const KernelTable* backend : backends()) {
        INFO(text(*backend));
        Setup s(*backend, DType::f32, DType::f32, 0);
        constexpr int64_t sequence = 13;
        const std::vector<float> table = {10, 1, 2};
        std::vector<int32_t> ids(5 * sequence);
        for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i % 3);
        const std::array<uint32_t, 4> start = {1, 2, 3, 0xfffffffe};  // sequences count modulo 2^32
        std::array<uint32_t, 4> rest = start;
        rest[3] += 2;
        std::vector<float> together = token_values(s, ids, table, 5, start.data());
        std::vector<float> first = token_values(s, {ids.begin(), ids.begin() + 2 * sequence}, table, 2, start.data());
        const std::vector<float> second =
            token_values(s, {ids.begin() + 2 * sequence, ids.end()}, table, 3, rest.data());
        first.insert(first.end(), second.begin(), second.end());
        CHECK(first == together);
    }
}

TEST_CASE("token_values: every backend") {
    const DropoutSource source;
    for (const int64_t sequence : {1, 31, 33, 512, 1000}) {
        check_backends(fmt::format("sequence {}", sequence), DType::f32, [&](Setup& s) {
            constexpr int64_t batch = 40, vocabulary = 1003;
            Array table = s.floats(1, vocabulary, 5, 3), ids = s.integers(batch, sequence, vocabulary),
                  values = s.float_output(batch, sequence);
            s.call(s.kernels.token_values, TokenValues{.ids = ids.data<int32_t>(),
                                                       .table = table.data<float>(),
                                                       .noise = source.state(),
                                                       .values = values.data<float>(),
                                                       .batch = batch,
                                                       .sequence = sequence,
                                                       .site = kSite});
            return outputs("values", std::move(values));
        });
    }
}

// --------------------------------------------------------------------------------------------------------------- top_k
struct Kept {
    std::vector<int32_t> positions, lengths;
};
Kept top_k(Setup& s, const std::vector<float>& values, const std::vector<int32_t>& lengths, int64_t batch,
           int64_t keep) {
    Kept kept{std::vector<int32_t>(static_cast<size_t>(batch * keep), -1),
              std::vector<int32_t>(static_cast<size_t>(batch), -1)};
    s.call(s.kernels.top_k, TopK{.values = values.data(),
                                 .lengths = lengths.empty() ? nullptr : lengths.data(),
                                 .kept = kept.positions.data(),
                                 .kept_lengths = kept.lengths.data(),
                                 .batch = batch,
                                 .sequence = static_cast<int64_t>(values.size()) / batch,
                                 .keep = keep});
    return kept;
}

/// The contract, one sequence at a time, by a sort: for values without NaN.
Kept expected_top_k(const std::vector<float>& values, const std::vector<int32_t>& lengths, int64_t batch,
                    int64_t keep) {
    Kept kept;
    const auto sequence = static_cast<int64_t>(values.size()) / batch;
    for (int64_t b = 0; b < batch; ++b) {
        const int64_t length = lengths.empty() ? sequence : lengths[static_cast<size_t>(b)];
        std::vector<int32_t> order(static_cast<size_t>(sequence));
        std::iota(order.begin(), order.end(), 0);
        std::ranges::stable_sort(order, [&](int32_t p, int32_t q) {
            if ((p < length) != (q < length)) return p < length;
            return values[static_cast<size_t>(b * sequence + p)] > values[static_cast<size_t>(b * sequence + q)];
        });
        std::sort(order.begin(), order.begin() + keep);
        kept.positions.insert(kept.positions.end(), order.begin(), order.begin() + keep);
        kept.lengths.push_back(static_cast<int32_t>(std::min(length, keep)));
    }
    return kept;
}

TEST_CASE("top_k: by hand") {
    for (const KernelTable* backend : backends()) {
        INFO(text(*backend));
        Setup s(*backend, DType::f32, DType::f32, 0);
        using Positions = std::vector<int32_t>;
        const std::vector<float> values = {3, -1, 4, 1, -5, 9, 2, 6};
        CHECK(top_k(s, values, {}, 1, 1).positions == Positions{5});
        CHECK(top_k(s, values, {}, 1, 3).positions == Positions{2, 5, 7});
        CHECK(top_k(s, values, {}, 1, 8).positions == Positions{0, 1, 2, 3, 4, 5, 6, 7});
        CHECK(top_k(s, values, {}, 2, 2).positions == Positions{0, 2, 1, 3});
        CHECK(top_k(s, values, {3, 1}, 2, 2).positions == Positions{0, 2, 0, 1});
        CHECK(top_k(s, values, {3, 1}, 2, 2).lengths == Positions{2, 1});
        CHECK(top_k(s, values, {2}, 1, 4).positions == Positions{0, 1, 5, 7});  // padding by its value too
        CHECK(top_k(s, values, {2}, 1, 4).lengths == Positions{2});
        // Ties go to the lower position, -0 = +0, and infinities have their places.
        CHECK(top_k(s, {1, 2, 2, 1, 2}, {}, 1, 2).positions == Positions{1, 2});
        CHECK(top_k(s, {1, 2, 2, 1, 2}, {}, 1, 4).positions == Positions{0, 1, 2, 4});
        CHECK(top_k(s, {-0.0f, 0.0f, -0.0f, 0.0f}, {}, 1, 2).positions == Positions{0, 1});
        CHECK(top_k(s, {0.0f, -0.0f, 0.0f, -0x1p-149f, 0x1p-149f}, {}, 1, 3).positions == Positions{0, 1, 4});
        CHECK(top_k(s, {-kInfinity, 0, kInfinity, 3e38f, -3e38f}, {}, 1, 2).positions == Positions{2, 3});
        CHECK(top_k(s, {-kInfinity, -kInfinity, -3e38f}, {}, 1, 2).positions == Positions{0, 2});
        Positions kept(3);
        s.call(s.kernels.top_k, TopK{.values = values.data(),
                                     .lengths = nullptr,
                                     .kept = kept.data(),
                                     .kept_lengths = nullptr,
                                     .batch = 1,
                                     .sequence = 8,
                                     .keep = 3});  // lengths are not wanted
        CHECK(kept == Positions{2, 5, 7});
    }
}

TEST_CASE("top_k: many shapes, with and without ties and padding") {
    PhiloxStream random(3, 0);
    for (const int64_t sequence : {1, 2, 15, 16, 17, 31, 33, 64, 129, 512, 1000, 4096}) {
        for (const int64_t keep : {int64_t{1}, (sequence + 1) / 2, sequence - 1, sequence}) {
            if (keep < 1) continue;
            for (int variant = 0; variant < 6; ++variant) {
                const bool padded = variant % 2;
                const int kind = variant / 2;  // distinct numbers, a few numbers, one number
                const int64_t batch = sequence == 512 ? 40 : 3;
                std::vector<float> values;
                for (int64_t i = 0; i < batch * sequence; ++i) {
                    const auto few = static_cast<float>(random.below(4)) - 2;
                    const auto many = static_cast<float>(random.uniform() * 20 - 10);
                    values.push_back(kind == 0 ? many : kind == 1 ? few : -7.5f);
                }
                std::vector<int32_t> lengths;
                for (int64_t b = 0; padded && b < batch; ++b)
                    lengths.push_back(static_cast<int32_t>(1 + random.below(static_cast<uint32_t>(sequence))));
                const Kept expected = expected_top_k(values, lengths, batch, keep);
                for (const KernelTable* backend : backends()) {
                    INFO(text(*backend), " keep ", keep, " of ", sequence, " variant ", variant);
                    Setup s(*backend, DType::f32, DType::f32, 0);
                    with_threads([&] {
                        const Kept kept = top_k(s, values, lengths, batch, keep);
                        CHECK(kept.positions == expected.positions);
                        CHECK(kept.lengths == expected.lengths);
                    });
                }
            }
        }
    }
}

TEST_CASE("top_k: whatever the bits of the values, the same distinct positions come out, real ones first") {
    PhiloxStream random(4, 0);
    for (int round = 0; round < 300; ++round) {
        const auto sequence = 1 + static_cast<int64_t>(random.below(70));
        const auto keep = 1 + static_cast<int64_t>(random.below(static_cast<uint32_t>(sequence)));
        const auto length = 1 + static_cast<int32_t>(random.below(static_cast<uint32_t>(sequence)));
        std::vector<float> values;
        for (int64_t p = 0; p < sequence; ++p) {
            const uint32_t words[] = {random.next(),    0x7fffffff, 0xffffffff, bits(kNan), bits(-kNan),
                                      bits(-kInfinity), 0x7f800001, 0xff800001, 0x80000000, 0};
            values.push_back(std::bit_cast<float>(words[round % 3 == 0 ? 2 : random.below(10)]));
        }
        Setup exact(reference(), DType::f32, DType::f32, 0);
        const Kept expected = top_k(exact, values, {length}, 1, keep);
        for (const KernelTable* backend : backends()) {
            INFO(text(*backend), " round ", round);
            Setup s(*backend, DType::f32, DType::f32, 0);
            const Kept kept = top_k(s, values, {length}, 1, keep);
            CHECK(kept.positions == expected.positions);
            for (int64_t r = 0; r < keep; ++r) {
                const int32_t p = kept.positions[static_cast<size_t>(r)];
                CHECK((p >= 0 && p < sequence));
                if (r > 0) CHECK(p > kept.positions[static_cast<size_t>(r - 1)]);
            }
            const auto real = std::ranges::count_if(kept.positions, [&](int32_t p) { return p < length; });
            CHECK(real == std::min<int64_t>(length, keep));
            CHECK(kept.lengths[0] == real);
        }
    }
}

// ---------------------------------------------------------------------------------------------------------- importance
TEST_CASE("importance_sums: by hand, with duplicates and slots that do not count") {
    for (const KernelTable* backend : backends()) {
        for (const bool accumulate : {false, true}) {
            INFO(text(*backend), " accumulate ", accumulate);
            Setup s(*backend, DType::f32, DType::f32, 0);
            const int32_t labels[] = {2, 0, 2, 4, 2};
            const float weights[] = {1, 1, 0, 0, 1}, loss[] = {3, 5, kNan, 9, 0.25};
            float sums[] = {1, 2, 3, 4, 5}, counts[] = {1, 1, 2, 0, 3};
            s.call(s.kernels.importance_sums, ImportanceSums{.labels = labels,
                                                             .weights = weights,
                                                             .loss = loss,
                                                             .sums = sums,
                                                             .counts = counts,
                                                             .n = 5,
                                                             .vocabulary = 5,
                                                             .accumulate = accumulate});
            const float assigned[] = {5, 0, 3.25, 0, 0}, hits[] = {1, 0, 2, 0, 0}, before[] = {1, 2, 3, 4, 5},
                        hits_before[] = {1, 1, 2, 0, 3};
            for (int v = 0; v < 5; ++v) {
                CHECK(sums[v] == assigned[v] + (accumulate ? before[v] : 0));
                CHECK(counts[v] == hits[v] + (accumulate ? hits_before[v] : 0));
            }
        }
    }
}

struct Slots {
    Array labels, weights, loss, sums, counts;

    Slots(Setup& s, int64_t n, int64_t vocabulary, bool accumulate)
        : labels(s.integers(1, n, vocabulary)),
          weights(s.floats(1, n)),
          loss(s.floats(1, n, 6, 3)),
          sums(s.float_output(1, vocabulary, accumulate)),
          counts(s.float_output(1, vocabulary)) {
        weights.fill([](int64_t, int64_t i) { return i % 5 == 2 ? 0.0 : 1.0; });
        if (accumulate) counts.fill([](int64_t, int64_t v) { return static_cast<double>(v % 3); });
    }
    ImportanceSums operation(bool accumulate) {
        return {.labels = labels.data<int32_t>(),
                .weights = weights.data<float>(),
                .loss = loss.data<float>(),
                .sums = sums.data<float>(),
                .counts = counts.data<float>(),
                .n = labels.columns(),
                .vocabulary = sums.columns(),
                .accumulate = accumulate};
    }
};

TEST_CASE("importance_sums: every backend; the CPU adds in order of the slots") {
    const struct {
        int64_t n, vocabulary;
    } cases[] = {{1, 1}, {1, 7}, {31, 3}, {63, 65}, {2560, 1003}, {33, 40000}, {3000, 1}, {1025, 257}};
    for (const auto& k : cases) {
        for (const bool accumulate : {false, true}) {
            const std::string label = fmt::format("{} slots of {} accumulate {}", k.n, k.vocabulary, accumulate);
            check_backends(label, DType::f32, [&](Setup& s) {
                Slots slots(s, k.n, k.vocabulary, accumulate);
                s.call(s.kernels.importance_sums, slots.operation(accumulate));
                Outputs all = outputs("sums", std::move(slots.sums), "counts", std::move(slots.counts));
                all[1].exact = true;
                return all;
            });
            INFO(label);
            Setup fast(cpu(), DType::f32, DType::f32, 5), plain(straightforward(), DType::f32, DType::f32, 5);
            Slots a(fast, k.n, k.vocabulary, accumulate), b(plain, k.n, k.vocabulary, accumulate);
            fast.call(fast.kernels.importance_sums, a.operation(accumulate));
            plain.call(plain.kernels.importance_sums, b.operation(accumulate));
            CHECK(a.sums == b.sums);
        }
    }
}

void update(Setup& s, std::span<const float> sums, std::span<const float> counts, const float& norm,
            std::span<const FixedValue> fixed, std::span<float> table) {
    s.call(s.kernels.importance_update, ImportanceUpdate{.sums = sums.data(),
                                                         .counts = counts.data(),
                                                         .table = table.data(),
                                                         .norm = &norm,
                                                         .fixed = fixed,
                                                         .vocabulary = static_cast<int64_t>(table.size()),
                                                         .beta = 0.75});
}

TEST_CASE("importance_update: by hand; what is not hit keeps its bits; fixed values come last, in order") {
    for (const KernelTable* backend : backends()) {
        INFO(text(*backend));
        Setup s(*backend, DType::f32, DType::f32, 0);
        float table[] = {8, std::bit_cast<float>(0xffc12345u), 8, -0.0f, 8, 8};  // the second: a NaN with a payload
        const float sums[] = {12, 99, 6, kInfinity, 6, 6}, counts[] = {2, 0, 1, 0, 3, 1}, norm = 3;
        const FixedValue fixed[] = {{4, 1e4f}, {5, 7}, {5, -1e4f}};
        update(s, sums, counts, norm, fixed, table);
        CHECK((table[0] == 7.5f && table[2] == 7.5f));
        CHECK(bits(table[1]) == 0xffc12345u);
        CHECK(bits(table[3]) == bits(-0.0f));
        CHECK(table[4] == 1e4f);  // though it was a label
        CHECK(table[5] == -1e4f);
    }
}

TEST_CASE("importance_update: a norm that is not finite changes nothing") {
    for (const KernelTable* backend : backends()) {
        for (const float norm : {kInfinity, -kInfinity, kNan}) {
            INFO(text(*backend), " norm ", norm);
            Setup s(*backend, DType::f32, DType::f32, 0);
            float table[] = {8, 9};
            const float sums[] = {12, 1}, counts[] = {2, 0};
            update(s, sums, counts, norm, std::array{FixedValue{1, 1e4f}}, table);
            CHECK((table[0] == 8 && table[1] == 9));
        }
    }
}

TEST_CASE("importance_update: every backend") {
    const FixedValue fixed[] = {{0, 1e4f}};
    for (const int64_t vocabulary : {1, 2, 31, 1003, 40000}) {
        check_backends(fmt::format("{} entries", vocabulary), DType::f32, [&](Setup& s) {
            Array sums = s.floats(1, vocabulary, 20, 5), table = s.floats(1, vocabulary, 10, 2),
                  counts(DType::f32, 1, vocabulary), norm = s.floats(1, 1);
            counts.fill([](int64_t, int64_t v) { return static_cast<double>(v % 4); });
            const Array before = table;
            s.call(s.kernels.importance_update, ImportanceUpdate{.sums = sums.data<float>(),
                                                                 .counts = counts.data<float>(),
                                                                 .table = table.data<float>(),
                                                                 .norm = norm.data<float>(),
                                                                 .fixed = fixed,
                                                                 .vocabulary = vocabulary,
                                                                 .beta = 0.995});
            for (int64_t v = 4; v < vocabulary; v += 4)
                if (table.at(0, v) != before.at(0, v)) FAIL_CHECK("entry ", v, " was not hit");
            table.set(0, 0, 0);  // 1e4 would hide the others' errors
            return outputs("table", std::move(table));
        });
    }
}

}  // namespace
}  // namespace dropforge::kernels
