// Cross-entropy in place: padded columns, unused rows, first and last labels, huge logits; and the sums of a step.
// label: simt-quick
// label: levels
#include "tests/support/kernel_testing.h"

namespace dropforge::kernels {
namespace {

struct Case {
    int64_t rows, columns, stride;
    double centre = 0, size = 1;  // of the logits
    bool weights = true, gradient = true;
    double weight = 1;  // of rows whose weight is not 0: this, twice this, …, four times this
};

std::string label(const Case& k) {
    return fmt::format("[{},{}] stride {} logits {} +- {} weights {} of {} gradient {}", k.rows, k.columns, k.stride,
                       k.centre, k.size, k.weights, k.weight, k.gradient);
}

struct Tensors {
    Array logits, labels, weights, loss, correct;
    float scale = 0.37f, loss_scale = 1;

    Tensors(Setup& s, const Case& k)
        : logits(s.normal(k.rows, k.stride, 0, k.size)),
          labels(s.integers(1, k.rows, k.columns)),
          weights(s.floats(1, k.rows)),
          loss(s.float_output(1, k.rows)),
          correct(s.float_output(1, k.rows)) {
        logits.fill([&](int64_t r, int64_t c) {
            return c < k.columns ? s.rounded(k.centre + logits.at(r, c)) : std::numeric_limits<double>::quiet_NaN();
        });
        weights.fill([&](int64_t, int64_t r) {
            return r % 5 == 2 ? 0.0 : k.weight == 1 ? 1.0 : k.weight * static_cast<double>(1 + r % 4);
        });
    }
    void run(Setup& s, const Case& k) {
        s.call(s.kernels.cross_entropy, CrossEntropy{.logits = logits.data(),
                                                     .labels = labels.data<int32_t>(),
                                                     .weights = k.weights ? weights.data<float>() : nullptr,
                                                     .gradient_scale = k.gradient ? &scale : nullptr,
                                                     .loss_scale = loss_scale == 1 ? nullptr : &loss_scale,
                                                     .loss = loss.data<float>(),
                                                     .correct = correct.data<float>(),
                                                     .rows = k.rows,
                                                     .columns = k.columns,
                                                     .stride = k.stride,
                                                     .dtype = s.storage});
    }
};

TEST_CASE("cross_entropy: the loss scale is a factor of the gradient alone, before its rounding") {
    for (const KernelTable* backend : backends()) {
        for (const DType dtype : kFloatTypes) {
            if (!computes(*backend, dtype)) continue;
            INFO(text(*backend), " ", text(dtype));
            Setup s(*backend, dtype, dtype, 0), again(*backend, dtype, dtype, 0);
            const Case k{.rows = 7, .columns = 33, .stride = 40, .weights = true};
            Tensors plain(s, k), scaled(again, k);
            plain.scale = 256 * plain.scale;
            scaled.loss_scale = 256;
            plain.run(s, k);
            scaled.run(again, k);
            CHECK(plain.logits == scaled.logits);
            CHECK(plain.loss == scaled.loss);
            CHECK(plain.correct == scaled.correct);
        }
    }
}

TEST_CASE("cross_entropy: a weight is a factor of loss and gradient, 1 as good as none") {
    for (const KernelTable* backend : backends()) {
        for (const DType dtype : kFloatTypes) {
            if (!computes(*backend, dtype)) continue;
            INFO(text(*backend), " ", text(dtype));
            const Case k{.rows = 7, .columns = 33, .stride = 40};
            Setup s(*backend, dtype, dtype, 0), again(*backend, dtype, dtype, 0), third(*backend, dtype, dtype, 0);
            Tensors none(s, k), one(again, k), four(third, k);
            one.weights.fill([](int64_t, int64_t) { return 1.0; });
            four.weights.fill([](int64_t, int64_t) { return 4.0; });
            none.run(s, {.rows = 7, .columns = 33, .stride = 40, .weights = false});
            one.run(again, k);
            four.scale = four.scale / 4;
            four.run(third, k);
            CHECK(one.logits == none.logits);
            CHECK(one.loss == none.loss);
            CHECK(four.logits == none.logits);
            CHECK(four.correct == none.correct);
            for (int64_t r = 0; r < k.rows; ++r) CHECK(four.loss.at(0, r) == 4 * none.loss.at(0, r));
        }
    }
}

TEST_CASE("cross_entropy: by hand") {
    // logits log 1, log 2, log 5, label 1: softmax 1/8 2/8 5/8
    for (const KernelTable* backend : backends()) {
        INFO(text(*backend));
        Setup s(*backend, DType::f32, DType::f32, 0);
        const Case k{.rows = 1, .columns = 3, .stride = 4, .weights = false};
        Tensors t(s, k);
        for (int c = 0; c < 3; ++c) t.logits.set(0, c, std::log(c == 2 ? 5.0 : c + 1.0));
        t.labels.set(0, 0, 1);
        t.scale = 8;
        t.run(s, k);
        CHECK(std::abs(t.loss.at(0, 0) - std::log(4.0)) <= 4 * 0x1p-23);
        const double gradient[] = {1, -6, 5, 0};
        for (int c = 0; c < 4; ++c) CHECK(std::abs(t.logits.at(0, c) - gradient[c]) <= 8 * 4 * 0x1p-24);
        CHECK(t.logits.at(0, 3) == 0);
        CHECK(t.correct.at(0, 0) == 0);
    }
}

TEST_CASE("cross_entropy: the first of equal logits is the answer") {
    for (const KernelTable* backend : backends()) {
        for (const int64_t columns : {3, 33, 1003}) {
            INFO(text(*backend), " columns ", columns);
            Setup s(*backend, DType::f32, DType::f32, 0);
            const Case k{.rows = 3, .columns = columns, .stride = columns, .weights = false};
            Tensors t(s, k);
            t.logits.fill(
                [&](int64_t, int64_t c) { return c == 1 || c == columns - 1 ? 3.0 : -static_cast<double>(c); });
            t.labels = array(DType::i32, {1, static_cast<double>(columns - 1), 0});
            t.run(s, k);
            CHECK(t.correct.at(0, 0) == 1);
            CHECK(t.correct.at(0, 1) == 0);
            CHECK(t.correct.at(0, 2) == 0);
        }
    }
}

TEST_CASE("cross_entropy: gradient against finite differences") {
    const Case k{.rows = 4, .columns = 7, .stride = 9, .weight = 0.75};
    Setup s = gradient_setup();
    Tensors t(s, k);
    Tensors result = t;
    result.run(s, k);
    Array scale(DType::f32, 1, k.rows);
    scale.fill([&](int64_t, int64_t) { return static_cast<double>(t.scale); });
    Array logits(DType::f32, k.rows, k.columns, k.stride), gradient = logits;
    logits.fill([&](int64_t r, int64_t c) { return t.logits.at(r, c); });
    gradient.fill([&](int64_t r, int64_t c) { return result.logits.at(r, c); });
    check_gradient("logits", logits, gradient, [&] {
        Tensors again = t;
        for (int64_t r = 0; r < k.rows; ++r)
            for (int64_t c = 0; c < k.columns; ++c) again.logits.set(r, c, logits.at(r, c));
        again.run(s, k);
        Loss sum;
        sum.add(again.loss, scale);
        return sum;
    });
}

TEST_CASE("cross_entropy: every backend") {
    const Case cases[] = {
        {1, 1, 1},
        {1, 2, 8},
        {31, 33, 40, 0, 3},
        {33, 31, 31, 0, 1, false},
        {20, 1003, 1024, 0, 2},
        {20, 1003, 1024, 0, 2, true, false},
        {63, 65, 72, -100, 1},
        {65, 63, 64, 0, 1e4},
        {5, 1003, 1024, 1e4, 10},
        {5, 1003, 1024, -1e4, 1e4},
        {4, 30522, 30592, 0, 2},
        {31, 3, 3, 0, 2, true, true, 0.3},
        {9, 1003, 1024, 0, 2, true, true, 17.1},
        {9, 2, 8, 0, 2, true, false, 0.01},
    };
    for (const DType dtype : kFloatTypes) {
        for (const Case& k : cases) {
            check_backends(label(k), dtype, [&](Setup& s) {
                Tensors t(s, k);
                const Tensors before = t;
                t.run(s, k);
                if (!k.gradient) CHECK(t.logits == before.logits);
                for (int64_t r = 0; k.weights && r < k.rows; ++r) {
                    if (before.weights.at(0, r) > 0) continue;
                    CHECK((t.loss.at(0, r) == 0 && t.correct.at(0, r) == 0));
                    for (int64_t c = 0; k.gradient && c < k.stride; ++c)
                        if (t.logits.at(r, c) != 0) FAIL_CHECK("unused row ", r, " column ", c);
                }
                Outputs all = outputs("loss", std::move(t.loss), "correct", std::move(t.correct));
                all[1].exact = true;
                if (k.gradient) add_outputs(all, "gradient", std::move(t.logits));
                return all;
            });
        }
    }
}

TEST_CASE("loss_totals") {
    for (const int64_t rows : {1, 2, 31, 1003, 40000}) {
        for (int bits = 0; bits < 8; ++bits) {
            const bool weighted = bits & 1, accumulate = bits & 2, answered = bits & 4;
            const std::string label =
                fmt::format("{} rows weights {} accumulate {} correct {}", rows, weighted, accumulate, answered);
            check_backends(label, DType::f32, [&](Setup& s) {
                Array loss = s.floats(1, rows, 5, 2), weights = s.integers(1, rows, 2),
                      correct = s.integers(1, rows, 2);
                Array w(DType::f32, 1, rows), right = w, totals = s.float_output(1, 3, accumulate);
                w.fill([&](int64_t, int64_t c) { return weights.at(0, c); });
                right.fill([&](int64_t, int64_t c) { return correct.at(0, c); });
                s.call(s.kernels.loss_totals, LossTotals{.loss = loss.data<float>(),
                                                         .weights = weighted ? w.data<float>() : nullptr,
                                                         .correct = answered ? right.data<float>() : nullptr,
                                                         .totals = totals.data<float>(),
                                                         .rows = rows,
                                                         .accumulate = accumulate});
                Array each[3] = {Array(DType::f32, 1, 1), Array(DType::f32, 1, 1), Array(DType::f32, 1, 1)};
                for (int i = 0; i < 3; ++i) each[i].set(0, 0, totals.at(0, i));
                return outputs("loss", each[0], "weight", each[1], "correct", each[2]);
            });
        }
    }
}

}  // namespace
}  // namespace dropforge::kernels
