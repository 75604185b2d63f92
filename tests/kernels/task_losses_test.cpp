// The losses of regression and of spans, in place: by hand, their gradients, rows that do not count, padding.
// label: simt-quick
// label: levels
#include "tests/support/kernel_testing.h"

namespace dropforge::kernels {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// A loss is summed with this factor, so that its gradient is what a kernel makes of gradient_scale.
Array factors(int64_t n, float scale) {
    Array a(DType::f32, 1, n);
    a.fill([&](int64_t, int64_t) { return static_cast<double>(scale); });
    return a;
}
double weight_of(int64_t row) { return row % 5 == 2 ? 0.0 : 0.3 * static_cast<double>(1 + row % 4); }

// ------------------------------------------------------------------------------------------------------- squared error
struct SquaredCase {
    int64_t rows;
    bool weights = true, gradient = true;
};

struct Regression {
    Array predictions, labels, weights, loss;
    float scale = 0.37f, loss_scale = 1;

    Regression(Setup& s, int64_t rows)
        : predictions(s.normal(1, rows)),
          labels(s.normal(1, rows, 0, 3)),
          weights(DType::f32, 1, rows),
          loss(s.float_output(1, rows)) {
        weights.fill([](int64_t, int64_t r) { return weight_of(r); });
    }
    void run(Setup& s, const SquaredCase& k) {
        s.call(s.kernels.squared_error, SquaredError{.predictions = predictions.data<float>(),
                                                     .labels = labels.data<float>(),
                                                     .weights = k.weights ? weights.data<float>() : nullptr,
                                                     .gradient_scale = k.gradient ? &scale : nullptr,
                                                     .loss_scale = loss_scale == 1 ? nullptr : &loss_scale,
                                                     .loss = loss.data<float>(),
                                                     .rows = k.rows});
    }
};

TEST_CASE("squared_error: by hand") {
    for (const KernelTable* backend : backends()) {
        INFO(text(*backend));
        Setup s(*backend, DType::f32, DType::f32, 0);
        Regression t(s, 3);
        t.predictions = array(DType::f32, {3, 1, kNaN});
        t.labels = array(DType::f32, {1, 4, 0});
        t.weights = array(DType::f32, {0.5, 2, 0});
        t.scale = 0.25f;
        t.loss_scale = 8;
        t.run(s, {.rows = 3});
        CHECK(t.loss == array(DType::f32, {2, 18, 0}));
        CHECK(t.predictions == array(DType::f32, {4, -24, 0}));
    }
}

TEST_CASE("squared_error: gradient against finite differences") {
    const SquaredCase k{.rows = 7};
    Setup s = gradient_setup();
    Regression t(s, k.rows);
    Regression result = t;
    result.run(s, k);
    Array predictions = t.predictions;
    check_gradient("predictions", predictions, result.predictions, [&] {
        Regression again = t;
        again.predictions = predictions;
        again.run(s, k);
        Loss sum;
        sum.add(again.loss, factors(k.rows, t.scale));
        return sum;
    });
}

TEST_CASE("squared_error: every backend") {
    for (const SquaredCase& k :
         {SquaredCase{1, false}, {1}, {31}, {33, false}, {63, true, false}, {1003}, {4099, false, false}}) {
        const auto label = fmt::format("{} rows weights {} gradient {}", k.rows, k.weights, k.gradient);
        check_backends(label, DType::f32, [&](Setup& s) {
            Regression t(s, k.rows);
            for (int64_t r = 0; k.weights && r < k.rows; ++r)
                if (weight_of(r) == 0) t.predictions.set(0, r, kNaN);
            const Regression before = t;
            t.run(s, k);
            if (k.gradient) return outputs("loss", std::move(t.loss), "gradient", std::move(t.predictions));
            CHECK(t.predictions == before.predictions);
            return outputs("loss", std::move(t.loss));
        });
    }
}

// ---------------------------------------------------------------------------------------------------------------- span
struct SpanCase {
    int64_t batch, per_sequence;
    double centre = 0, size = 1;  // of the logits
    bool lengths = true, weights = true, gradient = true;
};

struct Span {
    Array logits, lengths, starts, ends, weights, loss;
    float scale = 0.37f, loss_scale = 1;

    Span(Setup& s, const SpanCase& k)
        : logits(s.normal(k.batch * k.per_sequence, 2, 0, k.size)),
          lengths(DType::i32, 1, k.batch),
          starts(lengths),
          ends(lengths),
          weights(DType::f32, 1, k.batch),
          loss(s.float_output(1, k.batch)) {
        const auto length = [&](int64_t b) {
            return !k.lengths || b % 3 == 0 ? k.per_sequence : 1 + b * 7 % k.per_sequence;
        };
        logits.fill([&](int64_t r, int64_t c) { return s.rounded(k.centre + logits.at(r, c)); });
        lengths.fill([&](int64_t, int64_t b) { return static_cast<double>(length(b)); });
        starts.fill([&](int64_t, int64_t b) { return static_cast<double>(b * 5 % length(b)); });
        ends.fill([&](int64_t, int64_t b) { return static_cast<double>(length(b) - 1 - b % length(b)); });
        weights.fill([&](int64_t, int64_t b) { return weight_of(b); });
    }
    /// Whether the loss may depend on the logits of row r.
    bool reads(const SpanCase& k, int64_t r) const {
        const int64_t b = r / k.per_sequence;
        return !(k.weights && weights.at(0, b) == 0) && static_cast<double>(r % k.per_sequence) < lengths.at(0, b);
    }
    void run(Setup& s, const SpanCase& k) {
        s.call(s.kernels.span_loss, SpanLoss{.logits = logits.data<float>(),
                                             .lengths = k.lengths ? lengths.data<int32_t>() : nullptr,
                                             .starts = starts.data<int32_t>(),
                                             .ends = ends.data<int32_t>(),
                                             .weights = k.weights ? weights.data<float>() : nullptr,
                                             .gradient_scale = k.gradient ? &scale : nullptr,
                                             .loss_scale = loss_scale == 1 ? nullptr : &loss_scale,
                                             .loss = loss.data<float>(),
                                             .batch = k.batch,
                                             .per_sequence = k.per_sequence});
    }
};

TEST_CASE("span_loss: by hand") {
    // starts log 1, log 3 (the second is right), ends log 1, log 1 (the first is), a third position of padding; then a
    // sequence that does not count
    for (const KernelTable* backend : backends()) {
        INFO(text(*backend));
        Setup s(*backend, DType::f32, DType::f32, 0);
        const SpanCase k{.batch = 2, .per_sequence = 3};
        Span t(s, k);
        t.logits.fill([](int64_t r, int64_t c) { return r > 1 ? kNaN : r == 1 && c == 0 ? std::log(3.0) : 0; });
        t.lengths = array(DType::i32, {2, 1});
        t.starts = array(DType::i32, {1, 0});
        t.ends = array(DType::i32, {0, 0});
        t.weights = array(DType::f32, {2, 0});
        t.scale = 0.25f;
        t.loss_scale = 16;
        t.run(s, k);
        CHECK(std::abs(t.loss.at(0, 0) - std::log(8.0 / 3)) <= 4 * 0x1p-23);
        CHECK(t.loss.at(0, 1) == 0);
        const double gradient[6][2] = {{1, -2}, {-1, 2}};
        for (int64_t r = 0; r < 6; ++r)
            for (int64_t c = 0; c < 2; ++c) {
                CHECK(std::abs(t.logits.at(r, c) - gradient[r][c]) <= 4 * 4 * 0x1p-24);
                if (r >= 2) CHECK(t.logits.at(r, c) == 0);
            }
    }
}

TEST_CASE("span_loss: gradient against finite differences, with padding") {
    const SpanCase k{.batch = 4, .per_sequence = 5};
    Setup s = gradient_setup();
    Span t(s, k);
    Span result = t;
    result.run(s, k);
    Array logits = t.logits;
    check_gradient("logits", logits, result.logits, [&] {
        Span again = t;
        again.logits = logits;
        again.run(s, k);
        Loss sum;
        sum.add(again.loss, factors(k.batch, t.scale));
        return sum;
    });
}

TEST_CASE("span_loss: every backend") {
    const SpanCase cases[] = {
        {1, 1},
        {2, 2, 0, 1, false},
        {31, 33, 0, 3},
        {33, 7, 0, 1, true, false},
        {4, 384, 0, 2},
        {5, 513, 0, 1, false, false},
        {6, 65, 0, 2, true, true, false},
        {5, 63, -100, 1},
        {5, 384, 0, 1e4},
        {40, 512, 5, 2},
    };
    for (const SpanCase& k : cases) {
        const auto label = fmt::format("[{},{}] logits {} +- {} lengths {} weights {} gradient {}", k.batch,
                                       k.per_sequence, k.centre, k.size, k.lengths, k.weights, k.gradient);
        check_backends(label, DType::f32, [&](Setup& s) {
            Span t(s, k);
            for (int64_t r = 0; r < t.logits.rows(); ++r)
                for (int64_t c = 0; c < 2 && !t.reads(k, r); ++c) t.logits.set(r, c, kNaN);
            const Span before = t;
            t.run(s, k);
            if (!k.gradient) {
                CHECK(t.logits == before.logits);
                return outputs("loss", std::move(t.loss));
            }
            for (int64_t r = 0; r < t.logits.rows(); ++r)
                if (!t.reads(k, r) && (t.logits.at(r, 0) != 0 || t.logits.at(r, 1) != 0)) FAIL_CHECK("padding ", r);
            return outputs("loss", std::move(t.loss), "gradient", std::move(t.logits));
        });
    }
}

}  // namespace
}  // namespace dropforge::kernels
