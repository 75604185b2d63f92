// Gradient norm, AdamW and LAMB over segments with gaps: clipping, decay, a norm that is not finite, the 16-bit copy,
// the loss scale, rates of segments.
// label: simt-quick
// label: levels
#include "kernels/blocks.h"
#include "tests/support/kernel_testing.h"

namespace dropforge::kernels {
namespace {

// Gaps before, between and after; one is longer than a block of a sum.
const std::vector<Segment> kSegments = {{3, 1, false},
                                        {5, 2, false},
                                        {8, 31, true},
                                        {64, 65, false, 1.25f},
                                        {200, kSegmentBlock + 5, true},
                                        {33200, 1003, true, 0.3f}};
constexpr int64_t kSize = 33200 + 1003 + 7;

struct State {
    Array parameters, gradients, moment1, moment2, copy, norm;

    explicit State(Setup& s, DType copy_dtype = DType::bf16)
        : parameters(s.floats(1, kSize)),
          gradients(s.floats(1, kSize)),
          moment1(s.floats(1, kSize, 0, 0.1)),
          moment2(s.floats(1, kSize, 0, 0.1)),
          copy(copy_dtype, 1, kSize),
          norm(array(DType::f32, {2})) {
        moment2.fill([&](int64_t, int64_t c) { return moment2.at(0, c) * moment2.at(0, c); });
        for (int64_t c = 8; c < 39; ++c) parameters.set(0, c, 0);  // a tensor whose norm is 0
    }
    friend bool operator==(const State&, const State&) = default;
};

using Kernel = void (*)(const Update&, Context&);

/// The arenas begin at element `first`: no more aligned than an element if that is odd.
void update(Setup& s, Kernel kernel, State& state, const UpdateScalars& scalars, std::vector<Segment> segments,
            bool copy, int64_t first = 0) {
    for (Segment& segment : segments) segment.offset -= first;
    Array scratch = Setup::scratch(lamb_scratch_bytes(segments));
    s.call(kernel, Update{.parameters = state.parameters.data<float>() + first,
                          .gradients = state.gradients.data<float>() + first,
                          .moment1 = state.moment1.data<float>() + first,
                          .moment2 = state.moment2.data<float>() + first,
                          .copy = copy ? state.copy.data<uint16_t>() + first : nullptr,
                          .copy_dtype = state.copy.dtype(),
                          .norm = state.norm.data<float>(),
                          .scalars = &scalars,
                          .segments = segments,
                          .scratch = scratch.data()});
}

UpdateScalars scalars_at(int step, float clip) {
    const float beta1 = 0.9f, beta2 = 0.98f;
    return {.learning_rate = 1e-2f,
            .weight_decay = 0.01f,
            .beta1 = beta1,
            .beta2 = beta2,
            .epsilon = 1e-6f,
            .correction1 = 1 - std::pow(beta1, static_cast<float>(step)),
            .correction2 = 1 - std::pow(beta2, static_cast<float>(step)),
            .clip = clip};
}

bool in_segment(int64_t i) {
    return std::any_of(kSegments.begin(), kSegments.end(),
                       [&](const Segment& s) { return i >= s.offset && i < s.offset + s.size; });
}

/// Elements of all segments, in order.
Array of_segments(const Array& a) {
    int64_t n = 0;
    for (const Segment& s : kSegments) n += s.size;
    Array all(a.dtype(), 1, n);
    int64_t to = 0;
    for (const Segment& s : kSegments)
        for (int64_t i = 0; i < s.size; ++i) all.set(0, to++, a.at(0, s.offset + i));
    return all;
}

TEST_CASE("global_norm: 3, 4, 12 make 13, and gaps do not count") {
    for (const KernelTable* backend : backends()) {
        INFO(text(*backend));
        Setup s(*backend, DType::f32, DType::f32, 0);
        Array gradients = array(DType::f32, {99, 3, 4, 99, 12, 99}), norm(DType::f32, 1, 1);
        const std::vector<Segment> segments = {{1, 2, true}, {4, 1, false}};
        Array scratch = Setup::scratch(global_norm_scratch_bytes(segments));
        s.call(s.kernels.global_norm, GlobalNorm{.gradients = gradients.data<float>(),
                                                 .segments = segments,
                                                 .norm = norm.data<float>(),
                                                 .scratch = scratch.data()});
        CHECK(norm.at(0, 0) == 13);
    }
}

TEST_CASE("global_norm: long sums, overflow and NaN") {
    check_backends("segments", DType::f32, [](Setup& s) {
        Array gradients = s.floats(1, kSize, 1), norm(DType::f32, 1, 1);
        Array scratch = Setup::scratch(global_norm_scratch_bytes(kSegments));
        s.call(s.kernels.global_norm, GlobalNorm{.gradients = gradients.data<float>(),
                                                 .segments = kSegments,
                                                 .norm = norm.data<float>(),
                                                 .scratch = scratch.data()});
        Array shifted(DType::f32, 1, 1);
        const std::vector<Segment> segments = {{0, kSegmentBlock * 2 / 3, true}};
        s.call(s.kernels.global_norm, GlobalNorm{.gradients = gradients.data<float>() + 1,
                                                 .segments = segments,
                                                 .norm = shifted.data<float>(),
                                                 .scratch = scratch.data()});
        return outputs("norm", std::move(norm), "norm from element 1 on", std::move(shifted));
    });
    for (const KernelTable* backend : backends()) {
        INFO(text(*backend));
        Setup s(*backend, DType::f32, DType::f32, 0);
        Array gradients = s.floats(1, kSize), norm(DType::f32, 1, 1);
        Array scratch = Setup::scratch(global_norm_scratch_bytes(kSegments));
        const GlobalNorm operation{.gradients = gradients.data<float>(),
                                   .segments = kSegments,
                                   .norm = norm.data<float>(),
                                   .scratch = scratch.data()};
        gradients.set(0, 220, 1e30);  // its square is beyond f32, the norm is not
        s.call(s.kernels.global_norm, operation);
        CHECK(norm.at(0, 0) == static_cast<double>(1e30f));
        gradients.set(0, 70, std::numeric_limits<double>::infinity());
        s.call(s.kernels.global_norm, operation);
        CHECK(!std::isfinite(norm.at(0, 0)));
        gradients.set(0, 70, std::numeric_limits<double>::quiet_NaN());
        s.call(s.kernels.global_norm, operation);
        CHECK(std::isnan(norm.at(0, 0)));
    }
}

TEST_CASE("adamw, lamb: a step by hand") {
    // The gradient is clipped from norm 10 to 5: (3, -4). m = (7/8)·(9, 8) + (1/8)·(3, -4), v = (3/4)·(45, 128) +
    // (1/4)·(9, 16). The corrections (one beyond 1) and epsilon are chosen so that every number of the way is exact:
    // m/c1 = (16.5, 13), sqrt(v/c2) = (3, 5).
    const UpdateScalars scalars{.learning_rate = 0.5f,
                                .weight_decay = 0.25f,
                                .beta1 = 0.875f,
                                .beta2 = 0.75f,
                                .epsilon = 3,
                                .correction1 = 0.5f,
                                .correction2 = 4,
                                .clip = 5};
    const double moment1[] = {8.25, 6.5}, moment2[] = {36, 100}, parameters[] = {3, 4};
    for (const KernelTable* backend : backends()) {
        for (const bool is_lamb : {false, true}) {
            for (const bool decay : {false, true}) {
                INFO(text(*backend), " lamb ", is_lamb, " decay ", decay);
                Setup s(*backend, DType::f32, DType::f32, 0);
                State state(s);
                state.parameters = array(DType::f32, {parameters[0], parameters[1]});
                state.gradients = array(DType::f32, {6, -8});
                state.moment1 = array(DType::f32, {9, 8});
                state.moment2 = array(DType::f32, {45, 128});
                state.copy = Array(DType::bf16, 1, 2);
                state.norm = array(DType::f32, {10});
                const std::vector<Segment> one = {{0, 2, decay}};
                update(s, is_lamb ? s.kernels.lamb : s.kernels.adamw, state, scalars, one, true);
                // 16.5/(3+3) and 13/(5+3), with decay + p/4: of norm 4.375
                const double direction[] = {decay ? 3.5 : 2.75, decay ? 2.625 : 1.625};
                const double ratio = is_lamb && decay ? 5 / 4.375 : 1;
                for (int i = 0; i < 2; ++i) {
                    const double p = parameters[i] - 0.5 * ratio * direction[i], ulp = 0x1p-21;  // of 4
                    CHECK(std::abs(state.parameters.at(0, i) - p) <= 2 * ulp);
                    CHECK(state.moment1.at(0, i) == moment1[i]);
                    CHECK(state.moment2.at(0, i) == moment2[i]);
                    CHECK(state.copy.at(0, i) == rounded_to(DType::bf16, state.parameters.at(0, i)));
                }
            }
        }
    }
}

TEST_CASE("adamw, lamb: three steps of every backend") {
    const struct {
        float clip;
        bool copy;
        int64_t first = 0;  // element that the arenas begin at
        DType dtype = DType::bf16;
    } cases[] = {{0, false},
                 {0, true},
                 {1, false, 3},
                 {1, true},
                 {5, false},
                 {5, true, 3},
                 {1, true, 0, DType::fp16},
                 {5, true, 3, DType::fp16}};
    for (const bool is_lamb : {false, true}) {
        for (const auto& k : cases) {
            const std::string label =
                fmt::format("lamb {} clip {} copy {} first {} {}", is_lamb, k.clip, k.copy, k.first, name_of(k.dtype));
            std::vector<const KernelTable*> tables = backends();
            std::erase_if(tables, [&](const KernelTable* table) { return !computes(*table, k.dtype); });
            check_backends(tables, label, DType::f32, [&](Setup& s) {
                State state(s, k.dtype);
                const State before = state;
                for (int step = 1; step <= 3; ++step)
                    update(s, is_lamb ? s.kernels.lamb : s.kernels.adamw, state, scalars_at(step, k.clip), kSegments,
                           k.copy, k.first);
                for (int64_t i = 0; i < kSize; ++i) {
                    const double rounded = rounded_to(k.dtype, state.parameters.at(0, i));
                    if (k.copy && in_segment(i) && state.copy.at(0, i) != rounded) FAIL_CHECK("copy ", i);
                    if (in_segment(i)) continue;
                    if (state.parameters.at(0, i) != before.parameters.at(0, i) ||
                        state.moment1.at(0, i) != before.moment1.at(0, i) ||
                        state.moment2.at(0, i) != before.moment2.at(0, i) || !std::isnan(state.copy.at(0, i)))
                        FAIL_CHECK("gap ", i);
                }
                if (!k.copy) CHECK(state.copy == before.copy);
                return outputs("parameters", of_segments(state.parameters), "moment1", of_segments(state.moment1),
                               "moment2", of_segments(state.moment2));
            });
        }
    }
}

TEST_CASE("adamw, lamb: a segment's rate is a factor of the learning rate") {
    const auto with_rates = [](float rate) {
        std::vector<Segment> segments = kSegments;
        for (Segment& segment : segments) segment.rate = rate;
        return segments;
    };
    for (const KernelTable* backend : backends()) {
        Setup s(*backend, DType::f32, DType::f32, 0);
        for (const Kernel kernel : {s.kernels.adamw, s.kernels.lamb}) {
            INFO(text(*backend));
            const State before(s);
            State whole = before, shared = before, still = before;
            UpdateScalars scalars = scalars_at(1, 1);
            update(s, kernel, shared, scalars, with_rates(0.25f), true);
            update(s, kernel, still, scalars, with_rates(0), false);
            scalars.learning_rate /= 4;
            update(s, kernel, whole, scalars, with_rates(1), true);
            CHECK(whole == shared);
            CHECK(still.parameters == before.parameters);
            CHECK(still.moment1 == whole.moment1);
        }
    }
}

TEST_CASE("adamw, lamb: a norm that is not finite changes nothing") {
    for (const KernelTable* backend : backends()) {
        for (const double norm : {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
            for (const float clip : {0.0f, 1.0f}) {
                Setup s(*backend, DType::f32, DType::f32, 0);
                for (const Kernel kernel : {s.kernels.adamw, s.kernels.lamb}) {
                    INFO(text(*backend), " norm ", norm, " clip ", clip);
                    State state(s);
                    state.norm = array(DType::f32, {norm});
                    const State before = state;
                    update(s, kernel, state, scalars_at(1, clip), kSegments, true);
                    CHECK(state == before);
                }
            }
        }
    }
}

TEST_CASE("adamw, lamb: gradients with a loss scale give the update of those without") {
    for (const KernelTable* backend : backends()) {
        for (const float clip : {0.0f, 1.0f}) {
            Setup s(*backend, DType::f32, DType::f32, 0);
            for (const Kernel kernel : {s.kernels.adamw, s.kernels.lamb}) {
                INFO(text(*backend), " clip ", clip);
                State plain(s), scaled = plain;
                scaled.gradients.fill([&](int64_t, int64_t c) { return 1024 * plain.gradients.at(0, c); });
                UpdateScalars scalars = scalars_at(1, clip);
                update(s, kernel, plain, scalars, kSegments, true);
                scalars.gradient_factor = 0x1p-10f;
                update(s, kernel, scaled, scalars, kSegments, true);
                scaled.gradients = plain.gradients;
                CHECK(plain == scaled);
            }
        }
    }
}

/// What loss_scale makes of a state and a norm.
struct ScaleStep {
    LossScale state;
    float norm;
    UpdateScalars given = scalars_at(1, 1), scalars = {};

    ScaleStep(Setup& s, const LossScale& before, float norm) : state(before), norm(norm) {
        s.call(s.kernels.loss_scale,
               LossScaleStep{.norm = &this->norm, .given = &given, .scalars = &scalars, .state = &state});
    }
    bool is(float scale, int32_t streak, int32_t updates) const {
        return state.scale == scale && state.streak == streak && state.updates == updates;
    }
};

TEST_CASE("loss_scale: an overflow halves it, 2000 finite norms double it, updates that were taken count") {
    const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
    for (const KernelTable* backend : backends()) {
        INFO(text(*backend));
        Setup s(*backend, DType::f32, DType::f32, 0);
        const ScaleStep finite(s, {4096, 5, 7}, 4096 * 13);
        CHECK(finite.is(4096, 6, 8));
        CHECK(finite.norm == 13);
        CHECK(finite.scalars.gradient_factor == 1.0f / 4096);
        // the eighth update
        CHECK(std::abs(finite.scalars.correction1 - (1 - std::pow(double{0.9f}, 8))) <= 0x1p-24);
        CHECK(std::abs(finite.scalars.correction2 - (1 - std::pow(double{0.98f}, 8))) <= 0x1p-24);
        CHECK(finite.scalars.learning_rate == finite.given.learning_rate);
        CHECK(finite.scalars.clip == finite.given.clip);
        for (const float norm : {infinity, nan}) {
            const ScaleStep overflow(s, {4096, 1999, 7}, norm);
            CHECK(overflow.is(2048, 0, 7));
            CHECK(!std::isfinite(overflow.norm));
            CHECK(ScaleStep(s, {1, 3, 7}, norm).is(1, 0, 7));
        }
        CHECK(ScaleStep(s, {4096, 1999, 7}, 1).is(8192, 0, 8));
        CHECK(ScaleStep(s, {0x1p127f, 1999, 7}, 1).is(0x1p127f, 0, 8));
        CHECK(ScaleStep(s, {}, 1).is(65536, 1, 1));
    }
}

}  // namespace
}  // namespace dropforge::kernels
