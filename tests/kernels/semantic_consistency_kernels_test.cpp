// Pooled rows and the divergence of two rows as distributions: gradients, odd shapes, equal rows that must give 0.
// label: simt-quick
// label: levels
#include "tests/support/kernel_testing.h"

namespace dropforge::kernels {
namespace {

// ------------------------------------------------------------------------------------------------------------- pooling
struct PoolCase {
    int64_t batch, per_sequence, columns;
    int64_t count = 0;  // 0: lengths
};
constexpr PoolCase kPoolCases[] = {{1, 1, 1},       {2, 5, 31},         {3, 33, 65},   {5, 64, 300},
                                   {2, 200, 513},   {1, 1, 1, 1},       {4, 7, 33, 1}, {3, 33, 65, 33},
                                   {9, 31, 768, 1}, {2, 128, 257, 100}, {2, 1000, 64}};

std::string label(const PoolCase& k) {
    return fmt::format("{} x {} x {} pools {}", k.batch, k.per_sequence, k.columns,
                       k.count > 0 ? fmt::to_string(k.count) : "lengths");
}

/// The first sequence has all its rows, the second one.
Array lengths_of(const PoolCase& k) {
    Array lengths(DType::i32, 1, k.batch);
    lengths.fill([&](int64_t, int64_t b) {
        return static_cast<double>(b == 0 ? k.per_sequence : b == 1 ? 1 : 1 + b * 7 % k.per_sequence);
    });
    return lengths;
}
PoolForward forward(const PoolCase& k, Array& x, Array& lengths, Array& pooled) {
    return {.x = x.data(),
            .lengths = k.count > 0 ? nullptr : lengths.data<int32_t>(),
            .pooled = pooled.data<float>(),
            .batch = k.batch,
            .per_sequence = k.per_sequence,
            .columns = k.columns,
            .count = k.count,
            .dtype = x.dtype()};
}
PoolBackward backward(const PoolCase& k, Array& dpooled, Array& lengths, Array& dx, bool accumulate) {
    return {.dpooled = dpooled.data<float>(),
            .lengths = k.count > 0 ? nullptr : lengths.data<int32_t>(),
            .dx = dx.data(),
            .batch = k.batch,
            .per_sequence = k.per_sequence,
            .columns = k.columns,
            .count = k.count,
            .dtype = dx.dtype(),
            .accumulate = accumulate};
}

TEST_CASE("pool: by hand") {
    for (const KernelTable* backend : backends()) {
        for (const DType dtype : kFloatTypes) {
            if (!computes(*backend, dtype)) continue;
            INFO(text(*backend), " ", text(dtype));
            Setup s(*backend, dtype, dtype, 0);
            const PoolCase k{2, 3, 1};
            Array x = array(dtype, {1, 3, 5, 7, 9, 100}), lengths = array(DType::i32, {3, 2}), pooled(DType::f32, 1, 2);
            s.call(s.kernels.pool_forward, forward(k, x, lengths, pooled));
            CHECK((pooled.at(0, 0) == 3 && pooled.at(0, 1) == 8));
            Array dpooled = array(DType::f32, {6, 8}), dx(dtype, 1, 6);
            s.call(s.kernels.pool_backward, backward(k, dpooled, lengths, dx, false));
            for (int i = 0; i < 6; ++i) CHECK(dx.at(0, i) == (i < 3 ? 2 : i < 5 ? 4 : 0));
            s.call(s.kernels.pool_backward, backward(k, dpooled, lengths, x, true));
            const double sums[] = {3, 5, 7, 11, 13, 100};
            for (int i = 0; i < 6; ++i) CHECK(x.at(0, i) == sums[i]);
        }
    }
}

TEST_CASE("pool_forward: every backend; one row is copied") {
    for (const DType dtype : kFloatTypes) {
        for (const PoolCase& k : kPoolCases) {
            check_backends(label(k), dtype, [&](Setup& s) {
                Array x = s.normal(k.batch * k.per_sequence, k.columns), pooled = s.float_output(k.batch, k.columns);
                Array lengths = lengths_of(k);
                s.call(s.kernels.pool_forward, forward(k, x, lengths, pooled));
                for (int64_t b = 0; b < k.batch; ++b) {
                    if ((k.count > 0 ? k.count : static_cast<int64_t>(lengths.at(0, b))) > 1) continue;
                    for (int64_t c = 0; c < k.columns; ++c)
                        if (pooled.at(b, c) != x.at(b * k.per_sequence, c)) FAIL_CHECK("sequence ", b);
                }
                return outputs("pooled", std::move(pooled));
            });
        }
    }
}

TEST_CASE("pool_backward: gradient against finite differences") {
    for (const PoolCase& k : {PoolCase{3, 4, 3}, PoolCase{2, 3, 5, 2}}) {
        INFO(label(k));
        Setup s = gradient_setup();
        Array x = s.normal(k.batch * k.per_sequence, k.columns), dx = s.output(x.rows(), x.columns());
        Array lengths = lengths_of(k), weight = s.floats(k.batch, k.columns);
        s.call(s.kernels.pool_backward, backward(k, weight, lengths, dx, false));
        check_gradient("x", x, dx, [&] {
            Array pooled = s.float_output(k.batch, k.columns);
            s.call(s.kernels.pool_forward, forward(k, x, lengths, pooled));
            Loss sum;
            sum.add(pooled, weight);
            return sum;
        });
    }
}

TEST_CASE("pool_backward: every backend; rows that were not pooled become 0 or stay") {
    for (const DType dtype : kFloatTypes) {
        for (const PoolCase& k : kPoolCases) {
            for (const bool accumulate : {false, true}) {
                check_backends(backends(), fmt::format("{} accumulate {}", label(k), accumulate), dtype, [&](Setup& s) {
                    Array dpooled = s.floats(k.batch, k.columns), lengths = lengths_of(k);
                    Array dx = s.output(k.batch * k.per_sequence, k.columns, 0, accumulate);
                    const Array before = dx;
                    s.call(s.kernels.pool_backward, backward(k, dpooled, lengths, dx, accumulate));
                    for (int64_t row = 0; row < dx.rows(); ++row) {
                        const int64_t b = row / k.per_sequence, r = row % k.per_sequence;
                        if (r < (k.count > 0 ? k.count : static_cast<int64_t>(lengths.at(0, b)))) continue;
                        for (int64_t c = 0; c < k.columns; ++c)
                            if (dx.at(row, c) != (accumulate ? before.at(row, c) : 0)) FAIL_CHECK("row ", row);
                    }
                    return outputs("dx", std::move(dx));
                });
            }
        }
    }
}

// ---------------------------------------------------------------------------------------------------------- divergence
struct KlCase {
    int64_t rows, columns;
    double size = 1;      // of the rows' elements
    double distance = 1;  // of input from target; 1 or more: independent
    bool in_place = false;
    bool gradient = true;
};

struct Rows {
    Array target, input, kl, dtarget, dinput;
    float scale = 0.37f, loss_scale = 1;

    Rows(Setup& s, const KlCase& k)
        : target(s.floats(k.rows, k.columns, 0, k.size)),
          input(s.floats(k.rows, k.columns, 0, k.size)),
          kl(s.float_output(1, k.rows)),
          dtarget(s.float_output(k.rows, k.columns)),
          dinput(s.float_output(k.rows, k.columns)) {
        if (k.distance < 1) {
            input.fill([&](int64_t r, int64_t c) { return target.at(r, c) + k.distance * input.at(r, c); });
        }
    }
    void run(Setup& s, bool gradient = true, bool in_place = false) {
        s.call(s.kernels.kl_divergence,
               KlDivergence{.target = target.data<float>(),
                            .input = input.data<float>(),
                            .gradient_scale = gradient ? &scale : nullptr,
                            .loss_scale = loss_scale == 1 ? nullptr : &loss_scale,
                            .kl = kl.data<float>(),
                            .dtarget = gradient ? (in_place ? target : dtarget).data<float>() : nullptr,
                            .dinput = gradient ? (in_place ? input : dinput).data<float>() : nullptr,
                            .rows = target.rows(),
                            .columns = target.columns()});
        if (in_place) {
            std::swap(target, dtarget);
            std::swap(input, dinput);
        }
    }
};

TEST_CASE("kl_divergence: by hand") {
    // t = 1/8 2/8 5/8, p = 2/8 1/8 5/8: kl = (log 2) / 8
    for (const KernelTable* backend : backends()) {
        INFO(text(*backend));
        Setup s(*backend, DType::f32, DType::f32, 0);
        Rows rows(s, {.rows = 1, .columns = 3});
        const double t[] = {1, 2, 5}, p[] = {2, 1, 5}, log2 = std::log(2.0), kl = log2 / 8;
        for (int c = 0; c < 3; ++c) {
            rows.target.set(0, c, std::log(t[c]));
            rows.input.set(0, c, std::log(p[c]) + 3);
        }
        rows.scale = 8;
        rows.run(s);
        constexpr double u = 0x1p-24, limit = 8 * 3 * 4 * u;  // scale · sum of 3 terms · logs of up to 4 in f32
        CHECK(std::abs(rows.kl.at(0, 0) - kl) <= limit);
        const double dinput[] = {1, -1, 0}, dtarget[] = {-log2 - kl, 2 * (log2 - kl), -5 * kl};
        for (int c = 0; c < 3; ++c) {
            CHECK(std::abs(rows.dinput.at(0, c) - dinput[c]) <= limit);
            CHECK(std::abs(rows.dtarget.at(0, c) - dtarget[c]) <= limit);
        }
    }
}

TEST_CASE("kl_divergence: both gradients against finite differences") {
    Setup s = gradient_setup();
    Rows rows(s, {.rows = 3, .columns = 7});
    for (Array* x : {&rows.target, &rows.input}) x->fill([&](int64_t r, int64_t c) { return s.rounded(x->at(r, c)); });
    rows.run(s);
    Array scale(DType::f32, 1, 3);
    scale.fill([&](int64_t, int64_t) { return static_cast<double>(rows.scale); });
    const auto loss = [&] {
        Rows again = rows;
        again.run(s, false);
        Loss sum;
        sum.add(again.kl, scale);
        return sum;
    };
    check_gradient("target", rows.target, rows.dtarget, loss);
    check_gradient("input", rows.input, rows.dinput, loss);
}

TEST_CASE("kl_divergence: every backend") {
    const KlCase cases[] = {
        {.rows = 1, .columns = 1},
        {.rows = 2, .columns = 2},
        {.rows = 5, .columns = 31, .size = 3},
        {.rows = 5, .columns = 31, .in_place = true},
        {.rows = 3, .columns = 33, .gradient = false},
        {.rows = 64, .columns = 768},
        {.rows = 7, .columns = 1003, .size = 10},
        {.rows = 7, .columns = 129, .size = 1e4},
        {.rows = 4, .columns = 768, .distance = 1e-1},
        {.rows = 4, .columns = 768, .distance = 1e-3, .in_place = true},
    };
    for (const KlCase& k : cases) {
        const std::string label = fmt::format("[{},{}] of size {} distance {} in place {} gradient {}", k.rows,
                                              k.columns, k.size, k.distance, k.in_place, k.gradient);
        check_backends(label, DType::f32, [&](Setup& s) {
            Rows rows(s, k);
            rows.run(s, k.gradient, k.in_place);
            Outputs all = outputs("kl", std::move(rows.kl));
            if (k.gradient) add_outputs(all, "dtarget", std::move(rows.dtarget), "dinput", std::move(rows.dinput));
            return all;
        });
    }
}

TEST_CASE("kl_divergence: the loss scale is a factor of the gradients alone") {
    for (const KernelTable* backend : backends()) {
        INFO(text(*backend));
        Setup s(*backend, DType::f32, DType::f32, 0), again(*backend, DType::f32, DType::f32, 0);
        const KlCase k{5, 33};
        Rows plain(s, k), scaled(again, k);
        plain.scale *= 256;
        scaled.loss_scale = 256;
        plain.run(s);
        scaled.run(again);
        CHECK(plain.dtarget == scaled.dtarget);
        CHECK(plain.dinput == scaled.dinput);
        CHECK(plain.kl == scaled.kl);
    }
}

TEST_CASE("kl_divergence of equal rows and its gradients are 0, whatever the rows") {
    for (const KernelTable* backend : backends()) {
        for (const int64_t columns : {1, 2, 15, 33, 768, 1003}) {
            for (const double size : {1e-3, 1.0, 30.0, 1e4}) {
                INFO(text(*backend), " columns ", columns, " size ", size);
                Setup s(*backend, DType::f32, DType::f32, 0);
                Rows rows(s, {.rows = 4, .columns = columns, .size = size});
                rows.input = rows.target;
                rows.run(s);
                for (int64_t r = 0; r < 4; ++r) {
                    CHECK(rows.kl.at(0, r) == 0);
                    for (int64_t c = 0; c < columns; ++c)
                        if (rows.dtarget.at(r, c) != 0 || rows.dinput.at(r, c) != 0) FAIL_CHECK(r, ", ", c);
                }
            }
        }
    }
}

TEST_CASE("kl_divergence of nearly equal rows keeps its digits and its sign") {
    // kl is about 5e-7 here, less than the rounding of the logarithms. What they miss cancels in t·(log t - log p) - t
    // + p, so that only the errors of the exponentials t and p count: below 2u each (kernels/cpu/math.h), and Σ t = 1.
    const KlCase k{.rows = 64, .columns = 768, .distance = 1e-3};
    Setup exact(reference(), DType::f32, DType::f32, 0);
    Rows truth(exact, k);
    truth.run(exact);
    for (const KernelTable* backend : backends()) {
        INFO(text(*backend));
        Setup s(*backend, DType::f32, DType::f32, 0);
        Rows rows(s, k);
        rows.run(s);
        for (int64_t r = 0; r < k.rows; ++r) {
            CHECK(std::abs(rows.kl.at(0, r) - truth.kl.at(0, r)) <= 2 * 2 * 0x1p-24);
            CHECK(rows.kl.at(0, r) > 0);
        }
    }
}

}  // namespace
}  // namespace dropforge::kernels
