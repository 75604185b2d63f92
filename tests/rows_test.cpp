// Gathers and scatters of rows, casts and clears: copies are exact.
#include "kernel_testing.h"

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
                s.call(s.kernels.gather_rows, GatherRows{from.data(), index.data<int32_t>(), to.data(), k.batch,
                                                         k.count, k.per_sequence, k.columns, s.storage});
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
            for (const auto& v : variants) {
                INFO(text(*backend), " ", text(dtype), " accumulate ", v.accumulate, " clear ", v.clear);
                Setup s(*backend, dtype, dtype, 0);
                Array from = array(dtype, {10, 20, 30}), to = array(dtype, {1, 2, 3, 4}),
                      index = array(DType::i32, {2, 0, 2});
                s.call(s.kernels.scatter_rows, ScatterRows{from.data(), index.data<int32_t>(), to.data(), 1, 3, 4, 1,
                                                           dtype, v.accumulate, v.clear});
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
                                   s.call(s.kernels.scatter_rows,
                                          ScatterRows{from.data(), index.data<int32_t>(), to.data(), k.batch, k.count,
                                                      k.per_sequence, k.columns, s.storage, accumulate, clear});
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
            const auto whole = [](Array a) {
                a.fill([&](int64_t r, int64_t c) { return std::round(8 * a.at(r, c)); });
                return a;
            };
            Array x = whole(s.normal(k.batch * k.per_sequence, k.columns)),
                  y = whole(s.normal(k.batch * k.count, k.columns));
            Array gathered = s.output(y.rows(), y.columns()), scattered = s.output(x.rows(), x.columns());
            Array index = s.integers(k.batch, k.count, k.per_sequence);
            s.call(s.kernels.gather_rows, GatherRows{x.data(), index.data<int32_t>(), gathered.data(), k.batch, k.count,
                                                     k.per_sequence, k.columns, DType::f32});
            s.call(s.kernels.scatter_rows, ScatterRows{y.data(), index.data<int32_t>(), scattered.data(), k.batch,
                                                       k.count, k.per_sequence, k.columns, DType::f32, true, true});
            Loss left, right;
            left.add(gathered, y);
            right.add(scattered, x);
            CHECK(left.value == right.value);
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
            s.call(s.kernels.cast, Cast{wide.data(), narrow.data(), n, DType::f32, DType::bf16});
            s.call(s.kernels.cast, Cast{narrow.data(), back.data(), n, DType::bf16, DType::f32});
            for (int64_t c = 0; c < n; ++c) {
                CHECK(narrow.at(0, c) == pairs[c % 10][1]);
                CHECK(back.at(0, c) == narrow.at(0, c));
            }
            Array nan(DType::f32, 1, n);
            s.call(s.kernels.cast, Cast{nan.data(), narrow.data(), n, DType::f32, DType::bf16});
            for (int64_t c = 0; c < n; ++c) CHECK(std::isnan(narrow.at(0, c)));
        }
    }
}

}  // namespace
}  // namespace dropforge::kernels
