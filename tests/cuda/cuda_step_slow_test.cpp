// Whole training steps on the CUDA backend: every kind of step, every precision, twenty updates, queued ahead of the
// host as training does it; from the second run on the steps are recordings. Leaves step_errors.tsv in the build
// folder: each tensor's error beside the allowed one and the CPU backend's.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "kernels/cuda/backend.h"
#include "kernels/reference/loops.h"
#include "model/checkpoint/checkpoint.h"
#include "tests/support/error_table.h"
#include "tests/support/step_fixture.h"
#include "tests/support/temporary_folder.h"

namespace dropforge {
namespace {

using namespace test;

constexpr int64_t kSteps = 20;

/// Dropout of cuDNN's attention draws other bits than the CPU's; our own kernels draw the same.
[[maybe_unused]] const int own_attention = setenv("DROPFORGE_ATTENTION", "own", 1);

/// What a training of kSteps updates on one batch leaves; of steps that were skipped there is only the number.
struct Training {
    std::vector<double> losses, norms;
    std::vector<float> gradients;  // of the first step
    std::vector<float> values, importance;
    int64_t skipped = 0;
};

std::string kind_name(StepKind kind) { return Sctd({}, {}, {}).kind_name(kind); }

class Trainings {
  public:
    Trainings(StepKind kind, float dropout)
        : kind_(kind),
          parameters_(config(kind, dropout), {mlm_head(), nsp_head()}),
          batch_(
              random_batch(parameters_.config(), 6, 24, 5, {.lengths = true, .types = true, .next_sentence = true})) {}

    /// GELU with tanh in one kind of step, which cuBLASLt has as an epilogue.
    static BertConfig config(StepKind kind, float dropout) {
        BertConfig config = small_config(dropout, 4);
        if (kind == kDroppingStep) config.gelu = kernels::Gelu::tanh;
        return config;
    }
    /// GELU's outputs are kept on the GPU, as where there is room, and made again by whom it is compared with.
    TrainingStep make(const kernels::KernelTable& table, DType dtype) const {
        StepOptions options = dropping_options_for(parameters_.config(), batch_, 3, 12, dtype);
        options.keep_gelu = &table == &kernels::cuda();
        return {parameters_, StepPrograms(parameters_, options), table};
    }
    void prepare(TrainingStep& step, float scale) const {
        parameters_.initialize(step.values(), 1);
        fill_importance(importance_of(step), 1);
        if (step.states().loss_scale()) *step.states().loss_scale() = {.scale = scale};
        step.store_states();
    }
    StepSettings settings(int64_t step) const { return {.step = step, .kind = kind_, .learning_rate = 1e-3}; }

    /// `scale`: of the losses, in fp16; one step more if the first one `overflows` with it.
    Training run(const kernels::KernelTable& table, DType dtype, float scale = 1024, bool overflows = false) const {
        TrainingStep step = make(table, dtype);
        prepare(step, 1024);
        Training t;
        step.backward(batch_, 1, kind_);
        step.fetch_states();
        t.gradients.assign(step.gradients(), step.gradients() + parameters_.size());
        for (float& x : t.gradients) x /= dtype == DType::fp16 ? 1024 : 1;
        prepare(step, scale);
        const auto collect = [&] {
            const StepOutcome o = step.collect();
            if (!std::isfinite(o.gradient_norm)) return void(++t.skipped);
            t.losses.push_back(o.result.loss);
            t.norms.push_back(o.gradient_norm);
        };
        for (int64_t i = 1; i <= kSteps + overflows; ++i) {
            step.queue(batch_, settings(i));
            if (!step.may_queue()) collect();
        }
        while (step.queued() > 0) collect();
        step.fetch_states();
        t.values.assign(step.values(), step.values() + parameters_.size());
        t.importance.assign(importance_of(step).begin(), importance_of(step).end());
        return t;
    }

    /// The least scale with which gradients of the first step overflow.
    float too_large() const {
        float scale = 1024;
        for (double norm = 0; std::isfinite(norm); scale *= 2) {
            TrainingStep step = make(kernels::cuda(), DType::fp16);
            prepare(step, 2 * scale);
            step.backward(batch_, 1, kind_);
            norm = step.update(1, 0);
        }
        return scale;
    }

    StepKind kind() const { return kind_; }
    const Parameters& parameters() const { return parameters_; }
    const data::Batch& batch() const { return batch_; }

  private:
    StepKind kind_;
    Parameters parameters_;
    data::Batch batch_;
};

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
    double largest = 0;
    for (size_t i = 0; i < a.size(); ++i)
        if (const double d = std::abs(a[i] / b[i] - 1); !(d <= largest)) largest = d;
    return largest;
}

/// ‖a − b‖ / ‖b‖.
double difference(std::span<const float> a, std::span<const float> b) {
    double d = 0, n = 0;
    for (size_t i = 0; i < a.size(); ++i) {
        d += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
        n += double{b[i]} * b[i];
    }
    return std::sqrt(d / n);
}

/// The trainings with which the CUDA backend's is compared.
struct Others {
    Training truth;            // in double, of f32 data
    Training straightforward;  // in the precision
    Training cpu;              // likewise; empty in fp16, which it has not
};

std::ofstream errors = error_table("step_errors.tsv", "run\twhat\trelative error\tallowed\tCPU backend's");

/// The rule of kernel_testing.h for whole runs: errors against the double reference beside those of a straightforward
/// implementation, which are allowed `times` over: 2 for the first gradients, of each tensor. Updates turn the rounding
/// of gradients near 0 into some of their own size, and twenty of them add up in another direction in every
/// implementation: 8 for what follows. What a straightforward implementation has exactly may be off by a rounding.
class Comparison {
  public:
    Comparison(const std::string& run, const Training& got, const Others& others)
        : run_(run), got_(got), others_(others) {}

    void all(const Parameters& parameters) const {
        REQUIRE(got_.losses.size() == static_cast<size_t>(kSteps));
        compare("losses", 8,
                [](const Training& a, const Training& b) { return largest_difference(a.losses, b.losses); });
        compare("norms", 8, [](const Training& a, const Training& b) { return largest_difference(a.norms, b.norms); });
        for (const HfTensor& t : parameters.tensors()) {
            tensor("gradient/", t, 2, &Training::gradients);
            tensor("parameter/", t, 8, &Training::values);
        }
        CHECK(got_.losses.back() < got_.losses.front());
    }

  private:
    void tensor(const char* kind, const HfTensor& t, double times, std::vector<float> Training::*values) const {
        const auto part = [&](const Training& of) {
            return std::span(of.*values).subspan(static_cast<size_t>(t.offset), static_cast<size_t>(t.shape.size()));
        };
        compare(kind + t.name, times,
                [&](const Training& a, const Training& b) { return difference(part(a), part(b)); });
    }
    template <typename ErrorOf>
    void compare(const std::string& what, double times, const ErrorOf& error_of) const {
        constexpr double kRounding = 0x1p-24;
        const double error = error_of(got_, others_.truth);
        const double allowed = times * std::max(error_of(others_.straightforward, others_.truth), kRounding);
        const bool on_cpu = !others_.cpu.losses.empty();
        errors << fmt::format("{}\t{}\t{:.3g}\t{:.3g}\t{}\n", run_, what, error, allowed,
                              on_cpu ? fmt::format("{:.3g}", error_of(others_.cpu, others_.truth)) : "");
        CHECK_MESSAGE(error <= allowed, run_, ", ", what, ": ", error, " > ", allowed);
    }

    const std::string& run_;
    const Training& got_;
    const Others& others_;
};

/// `got`: by the CUDA backend.
void check(const Trainings& t, DType dtype, const Training& got) {
    Others others{.truth = t.run(kernels::reference(), DType::f32),
                  .straightforward = t.run(kernels::straightforward(), dtype),
                  .cpu = {}};
    if (dtype != DType::fp16) others.cpu = t.run(kernels::cpu(), dtype);
    const std::string run = fmt::format("{} {}", kind_name(t.kind()), name_of(dtype));
    Comparison(run, got, others).all(t.parameters());
}

constexpr StepKind kKinds[] = {StepKind::dense, kDroppingStep, kAlignStep};

TEST_CASE("twenty f32 steps differ from the reference by rounding alone") {
    for (const StepKind kind : kKinds) {
        CAPTURE(static_cast<uint32_t>(kind));
        const Trainings t(kind, 0.1f);
        check(t, DType::f32, t.run(kernels::cuda(), DType::f32));
    }
}

TEST_CASE("twenty bf16 steps are as near to f32 as those of a straightforward implementation") {
    for (const StepKind kind : kKinds) {
        CAPTURE(static_cast<uint32_t>(kind));
        const Trainings t(kind, 0.1f);
        check(t, DType::bf16, t.run(kernels::cuda(), DType::bf16));
    }
}

TEST_CASE("twenty fp16 updates, after a step that overflows, are as near to f32 as straightforward ones") {
    for (const StepKind kind : kKinds) {
        CAPTURE(static_cast<uint32_t>(kind));
        const Trainings t(kind, 0);  // without dropout a step that is skipped does not show
        const Training got = t.run(kernels::cuda(), DType::fp16, t.too_large(), true);
        CHECK(got.skipped == 1);
        check(t, DType::fp16, got);
    }
}

std::vector<float> copied(const float* values, int64_t n) { return {values, values + n}; }

TEST_CASE("an overflow leaves weights, moments and importance as they are, and halves the loss scale") {
    const Trainings t(kAlignStep, 0.1f);
    TrainingStep step = t.make(kernels::cuda(), DType::fp16);
    t.prepare(step, 1024);
    const auto take = [&](int64_t i) {
        step.queue(t.batch(), t.settings(i));
        const StepOutcome outcome = step.collect();
        step.fetch_states();
        return outcome;
    };
    const StepOutcome first = take(1);
    CHECK(std::isfinite(first.gradient_norm));
    CHECK(first.loss_scale == 1024);
    CHECK((step.states().loss_scale()->streak == 1 && step.states().loss_scale()->updates == 1));
    step.states().loss_scale()->scale = 0x1p100f;
    step.store_states();
    const int64_t n = t.parameters().size();
    const std::vector<float> values = copied(step.values(), n), moment1 = copied(step.moment1(), n),
                             moment2 = copied(step.moment2(), n),
                             importance(importance_of(step).begin(), importance_of(step).end());
    const StepOutcome second = take(2);
    CHECK(!std::isfinite(second.gradient_norm));
    CHECK(second.loss_scale == 0x1p100);
    CHECK(std::isfinite(second.result.loss));
    CHECK(copied(step.values(), n) == values);
    CHECK(copied(step.moment1(), n) == moment1);
    CHECK(copied(step.moment2(), n) == moment2);
    CHECK(std::ranges::equal(importance_of(step), importance));
    CHECK(step.states().loss_scale()->scale == 0x1p99f);
    CHECK((step.states().loss_scale()->streak == 0 && step.states().loss_scale()->updates == 1));
}

TEST_CASE("a checkpoint of fp16 training carries the loss scale: what follows has the same bits") {
    const TemporaryFolder folder;
    std::string words = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
    for (int i = 5; i < 203; ++i) words += fmt::format("word{}\n", i);
    write_text(folder / "vocab.txt", words);
    const fs::path checkpoint = folder / "checkpoint";
    fs::create_directory(checkpoint);

    const Trainings t(kDroppingStep, 0.1f);
    TrainingStep step = t.make(kernels::cuda(), DType::fp16), resumed = t.make(kernels::cuda(), DType::fp16);
    t.prepare(step, 0x1p30f);  // overflows at first
    const auto train = [&](TrainingStep& of, int64_t first, int64_t last) {
        for (int64_t i = first; i <= last; ++i) {
            of.queue(t.batch(), t.settings(i));
            of.collect();
        }
        of.fetch_states();
    };
    train(step, 1, 20);
    CHECK((step.states().loss_scale()->updates > 0 && step.states().loss_scale()->updates < 20));
    TrainingState state;
    state.step = 20;
    save_checkpoint(checkpoint, t.parameters(), step, state, data::Vocabulary::load(folder / "vocab.txt"),
                    data::kUncased);
    CHECK(load_checkpoint(checkpoint, t.parameters(), resumed).step == 20);
    train(step, 21, 24);
    train(resumed, 21, 24);
    const int64_t n = t.parameters().size();
    CHECK(copied(step.values(), n) == copied(resumed.values(), n));
    CHECK(copied(step.moment2(), n) == copied(resumed.moment2(), n));
    CHECK(step.states().loss_scale()->scale == resumed.states().loss_scale()->scale);
    CHECK(step.states().loss_scale()->streak == resumed.states().loss_scale()->streak);
    CHECK(step.states().loss_scale()->updates == resumed.states().loss_scale()->updates);
}

TEST_CASE("the same steps twice give the same bits") {
    const Trainings t(kAlignStep, 0.1f);
    const Training first = t.run(kernels::cuda(), DType::bf16), second = t.run(kernels::cuda(), DType::bf16);
    CHECK(first.losses == second.losses);
    CHECK(first.values == second.values);
    CHECK(first.importance == second.importance);
}

}  // namespace
}  // namespace dropforge
