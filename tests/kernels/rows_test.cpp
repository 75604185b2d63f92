// Gathers, scatters, merges and splits of rows: copies are exact. Casts and additions.
// label: simt-quick
// label: levels
#include "tests/support/kernel_testing.h"

namespace dropforge::kernels {
namespace {

struct Case {
    int64_t batch, count, per_sequence, columns;
};
constexpr Case kCases[] = {{1, 1, 1, 1}, {2, 5, 3, 31}, {3, 1, 33, 65}, {4, 20, 31, 64}, {2, 64, 65, 7}};

std::string label(const Case& k) {
    return fmt::format("{} x {} of {} x {}", k.batch, k.count, k.per_sequence, k.columns);
}

TEST_CASE("gather_rows copies") {
    for (const DType dtype : kFloatTypes) {
        for (const Case& k : kCases) {
            check_backends(label(k), dtype, [&](Setup& s) {
                Array from = s.normal(k.batch * k.per_sequence, k.columns), to = s.output(k.batch * k.count, k.columns);
                Array index = s.integers(k.batch, k.count, k.per_sequence);
                s.call(s.kernels.gather_rows, GatherRows{.from = from.data(),
                                                         .index = index.data<int32_t>(),
                                                         .to = to.data(),
                                                         .batch = k.batch,
                                                         .count = k.count,
                                                         .per_sequence = k.per_sequence,
                                                         .columns = k.columns,
                                                         .dtype = s.storage});
                for (int64_t b = 0; b < k.batch; ++b)
                    for (int64_t r = 0; r < k.count; ++r)
                        for (int64_t c = 0; c < k.columns; ++c) {
                            const auto source = b * k.per_sequence + static_cast<int64_t>(index.at(b, r));
                            if (to.at(b * k.count + r, c) != from.at(source, c)) FAIL_CHECK("row ", r, " of ", b);
                        }
                return outputs("to", std::move(to));
            });
        }
    }
}

TEST_CASE("scatter_rows: by hand") {
    // rows 10, 20, 30 go to positions 2, 0, 2 of [1, 2, 3, 4]
    const struct {
        bool accumulate, clear;
        double expected[4];
    } variants[] = {{false, false, {20, 2, 30, 4}},
                    {false, true, {20, 0, 30, 0}},
                    {true, false, {21, 2, 43, 4}},
                    {true, true, {20, 0, 40, 0}}};
    for (const KernelTable* backend : backends()) {
        for (const DType dtype : kFloatTypes) {
            if (!computes(*backend, dtype)) continue;
            for (const auto& v : variants) {
                INFO(text(*backend), " ", text(dtype), " accumulate ", v.accumulate, " clear ", v.clear);
                Setup s(*backend, dtype, dtype, 0);
                Array from = array(dtype, {10, 20, 30}), to = array(dtype, {1, 2, 3, 4}),
                      index = array(DType::i32, {2, 0, 2});
                s.call(s.kernels.scatter_rows, ScatterRows{.from = from.data(),
                                                           .index = index.data<int32_t>(),
                                                           .to = to.data(),
                                                           .batch = 1,
                                                           .count = 3,
                                                           .per_sequence = 4,
                                                           .columns = 1,
                                                           .dtype = dtype,
                                                           .accumulate = v.accumulate,
                                                           .clear = v.clear});
                for (int i = 0; i < 4; ++i) CHECK(to.at(0, i) == v.expected[i]);
            }
        }
    }
}

TEST_CASE("scatter_rows: duplicates, untouched rows, one rounding") {
    for (const DType dtype : kFloatTypes) {
        for (const Case& k : kCases) {
            for (int bits = 0; bits < 4; ++bits) {
                const bool accumulate = bits & 1, clear = bits & 2;
                check_backends(fmt::format("{} accumulate {} clear {}", label(k), accumulate, clear), dtype,
                               [&](Setup& s) {
                                   Array to = s.normal(k.batch * k.per_sequence, k.columns),
                                         from = s.normal(k.batch * k.count, k.columns);
                                   Array index = s.integers(k.batch, k.count, k.per_sequence);
                                   s.call(s.kernels.scatter_rows, ScatterRows{.from = from.data(),
                                                                              .index = index.data<int32_t>(),
                                                                              .to = to.data(),
                                                                              .batch = k.batch,
                                                                              .count = k.count,
                                                                              .per_sequence = k.per_sequence,
                                                                              .columns = k.columns,
                                                                              .dtype = s.storage,
                                                                              .accumulate = accumulate,
                                                                              .clear = clear});
                                   Outputs all = outputs("to", std::move(to));
                                   all[0].exact = !accumulate;
                                   return all;
                               });
            }
        }
    }
}

TEST_CASE("scatter_rows undoes gather_rows in the adjoint sense") {
    // <gather(x), y> = <x, scatter_add(y)>: integers, so that both sums are exact
    for (const KernelTable* backend : backends()) {
        for (const Case& k : kCases) {
            INFO(text(*backend), " ", label(k));
            Setup s(*backend, DType::f32, DType::f32, 0);
            const auto in_eighths = [](Array a) {
                a.fill([&](int64_t r, int64_t c) { return std::round(8 * a.at(r, c)); });
                return a;
            };
            Array x = in_eighths(s.normal(k.batch * k.per_sequence, k.columns)),
                  y = in_eighths(s.normal(k.batch * k.count, k.columns));
            Array gathered = s.output(y.rows(), y.columns()), scattered = s.output(x.rows(), x.columns());
            Array index = s.integers(k.batch, k.count, k.per_sequence);
            s.call(s.kernels.gather_rows, GatherRows{.from = x.data(),
                                                     .index = index.data<int32_t>(),
                                                     .to = gathered.data(),
                                                     .batch = k.batch,
                                                     .count = k.count,
                                                     .per_sequence = k.per_sequence,
                                                     .columns = k.columns,
                                                     .dtype = DType::f32});
            s.call(s.kernels.scatter_rows, ScatterRows{.from = y.data(),
                                                       .index = index.data<int32_t>(),
                                                       .to = scattered.data(),
                                                       .batch = k.batch,
                                                       .count = k.count,
                                                       .per_sequence = k.per_sequence,
                                                       .columns = k.columns,
                                                       .dtype = DType::f32,
                                                       .accumulate = true,
                                                       .clear = true});
            Loss left, right;
            left.add(gathered, y);
            right.add(scattered, x);
            CHECK(left.value == right.value);
        }
    }
}

// ------------------------------------------------------------------------------------------------------ merge and
// split
constexpr Case kSubsets[] = {{1, 1, 1, 1},  {2, 3, 5, 31},    {3, 33, 33, 65},
                             {2, 1, 65, 7}, {4, 20, 130, 64}, {8, 64, 129, 40}};

/// count distinct positions of each sequence, ascending; the first and the last sequence pick at the ends too.
Array subsets(Setup& s, const Case& k) {
    Array index(DType::i32, k.batch, k.count);
    for (int64_t b = 0; b < k.batch; ++b) {
        const Array keys = s.floats(1, k.per_sequence);
        std::vector<int64_t> order(static_cast<size_t>(k.per_sequence));
        for (int64_t p = 0; p < k.per_sequence; ++p) order[static_cast<size_t>(p)] = p;
        const auto key = [&](int64_t p) {
            const bool end = (b == 0 && p == 0) || (b + 1 == k.batch && p + 1 == k.per_sequence);
            return end ? std::numeric_limits<double>::infinity() : keys.at(0, p);
        };
        std::ranges::sort(order, std::greater{}, key);
        std::sort(order.begin(), order.begin() + k.count);
        for (int64_t r = 0; r < k.count; ++r) index.set(b, r, static_cast<double>(order[static_cast<size_t>(r)]));
    }
    return index;
}

MergeRows merge(const Case& k, Array& rows, Array& index, Array& rest, Array& all) {
    return {.rows = rows.data(),
            .index = index.data<int32_t>(),
            .rest = rest.data(),
            .all = all.data(),
            .batch = k.batch,
            .count = k.count,
            .per_sequence = k.per_sequence,
            .columns = k.columns,
            .dtype = all.dtype()};
}
SplitRows split(const Case& k, Array& all, Array& index, Array& rows, Array& rest, bool accumulate = false) {
    return {.all = all.data(),
            .index = index.data<int32_t>(),
            .rows = rows.data(),
            .rest = rest.data(),
            .batch = k.batch,
            .count = k.count,
            .per_sequence = k.per_sequence,
            .columns = k.columns,
            .dtype = all.dtype(),
            .accumulate = accumulate};
}

TEST_CASE("merge_rows and split_rows: by hand") {
    const Case k{2, 2, 3, 1};
    for (const KernelTable* backend : backends()) {
        for (const DType dtype : kFloatTypes) {
            if (!computes(*backend, dtype)) continue;
            INFO(text(*backend), " ", text(dtype));
            Setup s(*backend, dtype, dtype, 0);
            Array rows = array(dtype, {1, 2, 3, 4}), rest = array(dtype, {10, 20, 30, 40, 50, 60}),
                  index = array(DType::i32, {0, 2, 1, 2}), all(dtype, 1, 6), picked(dtype, 1, 4), sum = rest;
            s.call(s.kernels.merge_rows, merge(k, rows, index, rest, all));
            const double merged[] = {1, 20, 2, 40, 3, 4}, dropped[] = {0, 20, 0, 40, 0, 0},
                         sums[] = {10, 40, 30, 80, 50, 60};
            for (int i = 0; i < 6; ++i) CHECK(all.at(0, i) == merged[i]);
            s.call(s.kernels.split_rows, split(k, all, index, picked, sum, true));
            s.call(s.kernels.split_rows, split(k, all, index, picked, rest));
            CHECK(picked == rows);
            for (int i = 0; i < 6; ++i) CHECK((rest.at(0, i) == dropped[i] && sum.at(0, i) == sums[i]));
        }
    }
}

TEST_CASE("merge_rows: copies, in place too") {
    for (const DType dtype : kFloatTypes) {
        for (const Case& k : kSubsets) {
            for (const bool in_place : {false, true}) {
                check_backends(fmt::format("{} in place {}", label(k), in_place), dtype, [&](Setup& s) {
                    Array rows = s.normal(k.batch * k.count, k.columns),
                          rest = s.normal(k.batch * k.per_sequence, k.columns),
                          all = in_place ? rest : s.output(rest.rows(), k.columns), index = subsets(s, k);
                    s.call(s.kernels.merge_rows, merge(k, rows, index, in_place ? all : rest, all));
                    Outputs results = outputs("all", std::move(all));
                    results[0].exact = true;
                    return results;
                });
            }
        }
    }
}

enum class Rest : uint8_t { assigned, in_place, accumulated };

TEST_CASE("split_rows: copies, in place too; adds") {
    for (const DType dtype : kFloatTypes) {
        for (const Case& k : kSubsets) {
            for (const Rest kind : {Rest::assigned, Rest::in_place, Rest::accumulated}) {
                check_backends(fmt::format("{} rest {}", label(k), static_cast<int>(kind)), dtype, [&](Setup& s) {
                    const bool accumulate = kind == Rest::accumulated;
                    Array all = s.normal(k.batch * k.per_sequence, k.columns),
                          rest = kind == Rest::in_place ? all : s.output(all.rows(), k.columns, 0, accumulate),
                          rows = s.output(k.batch * k.count, k.columns), index = subsets(s, k);
                    const Array before = rest;
                    s.call(s.kernels.split_rows,
                           split(k, kind == Rest::in_place ? rest : all, index, rows, rest, accumulate));
                    for (int64_t i = 0; i < rows.rows(); ++i) {
                        const int64_t p =
                            i / k.count * k.per_sequence + static_cast<int64_t>(index.at(i / k.count, i % k.count));
                        for (int64_t c = 0; c < k.columns; ++c)
                            if (rest.at(p, c) != (accumulate ? before.at(p, c) : 0)) FAIL_CHECK("picked row ", i);
                    }
                    Outputs results = outputs("rows", std::move(rows), "rest", std::move(rest));
                    results[0].exact = true;
                    results[1].exact = !accumulate;
                    return results;
                });
            }
        }
    }
}

TEST_CASE("split_rows is the adjoint of merge_rows, and merge_rows its inverse") {
    for (const KernelTable* backend : backends()) {
        for (const Case& k : kSubsets) {
            INFO(text(*backend), " ", label(k));
            Setup s(*backend, DType::f32, DType::f32, 0);
            const auto in_eighths = [](Array a) {  // so that sums are exact
                a.fill([&](int64_t r, int64_t c) { return std::round(8 * a.at(r, c)); });
                return a;
            };
            Array index = subsets(s, k), rows = in_eighths(s.normal(k.batch * k.count, k.columns)),
                  rest = in_eighths(s.normal(k.batch * k.per_sequence, k.columns)),
                  y = in_eighths(s.normal(rest.rows(), k.columns));
            Array all = s.output(rest.rows(), k.columns), drows = s.output(rows.rows(), k.columns), drest = all;
            s.call(s.kernels.merge_rows, merge(k, rows, index, rest, all));
            s.call(s.kernels.split_rows, split(k, y, index, drows, drest));
            Loss left, right;
            left.add(all, y);
            right.add(rows, drows);
            right.add(rest, drest);
            CHECK(left.value == right.value);
            s.call(s.kernels.merge_rows, merge(k, drows, index, drest, all));
            CHECK(all == y);
        }
    }
}

TEST_CASE("cast rounds to nearest even and keeps specials") {
    const double infinity = std::numeric_limits<double>::infinity();
    const double pairs[][2] = {{1, 1},
                               {1 + 0x1p-8, 1},  // ties go to the even mantissa
                               {1 + 0x3p-8, 1 + 0x1p-6},
                               {-1 - 0x1p-8, -1},
                               {1 + 0x1p-8 + 0x1p-20, 1 + 0x1p-7},
                               {0.1, 0.10009765625},
                               {3.4e38, infinity},
                               {-infinity, -infinity},
                               {0x1p-130, 0x1p-130},  // subnormal
                               {0x1p-140, 0}};
    for (const KernelTable* backend : backends()) {
        for (const int64_t n : {int64_t{1}, int64_t{10}, int64_t{33}, int64_t{1003}}) {
            INFO(text(*backend), " n ", n);
            Setup s(*backend, DType::f32, DType::f32, 0);
            Array wide(DType::f32, 1, n), narrow(DType::bf16, 1, n), back(DType::f32, 1, n);
            wide.fill([&](int64_t, int64_t c) { return pairs[c % 10][0]; });
            s.call(s.kernels.cast, Cast{.from = wide.data(),
                                        .to = narrow.data(),
                                        .n = n,
                                        .from_dtype = DType::f32,
                                        .to_dtype = DType::bf16});
            s.call(s.kernels.cast, Cast{.from = narrow.data(),
                                        .to = back.data(),
                                        .n = n,
                                        .from_dtype = DType::bf16,
                                        .to_dtype = DType::f32});
            for (int64_t c = 0; c < n; ++c) {
                CHECK(narrow.at(0, c) == pairs[c % 10][1]);
                CHECK(back.at(0, c) == narrow.at(0, c));
            }
            Array nan(DType::f32, 1, n);
            nan.fill([](int64_t, int64_t) { return std::numeric_limits<double>::quiet_NaN(); });
            s.call(s.kernels.cast, Cast{.from = nan.data(),
                                        .to = narrow.data(),
                                        .n = n,
                                        .from_dtype = DType::f32,
                                        .to_dtype = DType::bf16});
            for (int64_t c = 0; c < n; ++c) CHECK(std::isnan(narrow.at(0, c)));
        }
    }
}

/// The array from its element `first` on: with 1, on no 16-byte border.
void* from_element(Array& a, int64_t first) {
    return static_cast<std::byte*>(a.data()) + first * static_cast<int64_t>(size_of(a.dtype()));
}

TEST_CASE("cast between all float types, from any element on") {
    for (const DType from : kFloatTypes) {
        for (const DType to : kFloatTypes) {
            for (const int64_t first : {0, 1}) {
                for (const KernelTable* backend : backends()) {
                    if (!computes(*backend, from) || !computes(*backend, to)) continue;
                    INFO(text(*backend), " ", text(from), " to ", text(to), " from element ", first);
                    Setup s(*backend, from, from, 0);
                    constexpr int64_t n = 1003;
                    Array x = s.normal(1, n + first), y(to, 1, n + first);
                    y.set(0, 0, 0.75);
                    s.call(s.kernels.cast, Cast{.from = from_element(x, first),
                                                .to = from_element(y, first),
                                                .n = n,
                                                .from_dtype = from,
                                                .to_dtype = to});
                    if (first == 1) CHECK(y.at(0, 0) == 0.75);
                    for (int64_t c = first; c < n + first; ++c) {
                        const auto wide = static_cast<float>(x.at(0, c));
                        CHECK(y.at(0, c) == rounded_to(to, static_cast<double>(wide)));
                    }
                }
            }
        }
    }
}

TEST_CASE("clear") {
    for (const int64_t first : {0, 1}) {
        for (const int64_t n : {0, 1, 7, 33, 1003, 40000}) {
            check_backends(fmt::format("{} elements from {}", n, first), DType::f32, [&](Setup& s) {
                Array to = s.normal(1, n + first + 1);  // one more than is cleared
                s.call(s.kernels.clear,
                       Clear{.to = from_element(to, first), .bytes = n * static_cast<int64_t>(sizeof(float))});
                return outputs("to", std::move(to));
            });
        }
    }
}

TEST_CASE("add") {
    for (const DType dtype : kFloatTypes) {
        for (const int64_t first : {0, 1}) {
            for (const int64_t n : {1, 7, 33, 1003, 40000}) {
                check_backends(fmt::format("{} elements from {}", n, first), dtype, [&](Setup& s) {
                    Array to = s.normal(1, n + first), x = s.normal(1, n + first);
                    s.call(s.kernels.add,
                           Add{.to = from_element(to, first), .x = from_element(x, first), .n = n, .dtype = s.storage});
                    return outputs("to", std::move(to));
                });
            }
        }
    }
}

}  // namespace
}  // namespace dropforge::kernels
