// The semantic-align step of ScTD: its loss, and the gradient of that loss.
// one thread: many steps of a model so small that sharing out their work costs more than it gives.
// label: levels
#include "model/methods/sctd.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "model/network/names.h"
#include "tests/support/finite_differences.h"
#include "tests/support/step_fixture.h"

namespace dropforge {
namespace {

using namespace test;

constexpr double kLambda = 30;  // large enough for the divergences to count beside the MLM losses
constexpr BatchParts kAllParts{.lengths = true, .types = true, .next_sentence = true};

/// Four layers whose weights are large enough for dropped tokens to make a difference: λ times the divergences is about
/// as large as the MLM loss.
BertConfig strong_config(float dropout) {
    BertConfig c = small_config(dropout, 4);
    c.initializer_range = 0.15f;
    return c;
}

/// Every combination of [sctd]'s switches.
std::vector<SctdOptions> all_switches() {
    std::vector<SctdOptions> all;
    for (const Pooling pooled : {Pooling::cls, Pooling::mean})
        for (const bool full_mlm : {true, false})
            for (const bool share_trunk : {true, false})
                for (const bool recompute : {false, true})
                    all.push_back(
                        {.pooled = pooled, .full_mlm = full_mlm, .share_trunk = share_trunk, .recompute = recompute});
    return all;
}

std::string text_of(const SctdOptions& a) {
    return fmt::format("{}, full_mlm {}, share_trunk {}, recompute {}", kPoolingNames[static_cast<size_t>(a.pooled)],
                       a.full_mlm, a.share_trunk, a.recompute);
}

StepOptions align_options(const data::Batch& batch, int64_t micro_batch, SctdOptions align = {}, int64_t keep = 11,
                          double lambda = kLambda) {
    align.lambda = lambda;
    return dropping_options_for(strong_config(0), batch, micro_batch, keep, DType::f32, {}, align);
}

double mean_loss(const StepResult& r) { return r["mlm_loss"] / r["mlm_count"]; }
double mean_loss_full(const StepResult& r) { return r["mlm_loss_full"] / r["mlm_count"]; }

/// Checks that losses are equal to f32 rounding; `sums` as of check_same().
void check_same_losses(const StepResult& got, const StepResult& want, double sums) {
    const std::pair<double, double> pairs[] = {{got.loss, want.loss},
                                               {got["mlm_loss"], want["mlm_loss"]},
                                               {got["nsp_loss"], want["nsp_loss"]},
                                               {got["mlm_loss_full"], want["mlm_loss_full"]},
                                               {got["nsp_loss_full"], want["nsp_loss_full"]},
                                               {got["kl_local"], want["kl_local"]},
                                               {got["kl_global"], want["kl_global"]}};
    for (size_t i = 0; i < std::size(pairs); ++i) {
        CAPTURE(i);
        const double a = pairs[i].first, b = pairs[i].second;
        // A loss or divergence is a difference of logs of size 1 … 10 that each come from about 20 roundings one after
        // another; the first has the divergences times λ.
        const double rounding = (20 + sums) * 0x1p-24 * std::max(std::abs(b), 1.0) * (i == 0 ? 1 + 2 * kLambda : 1);
        const bool same = std::abs(a - b) <= rounding;
        CHECK_MESSAGE(same, a << " against " << b);
    }
    CHECK(got["mlm_count"] == want["mlm_count"]);
    CHECK(got["nsp_count"] == want["nsp_count"]);
}

TEST_CASE("keep = S: both passes are the same, dropout too, so the divergences are exactly 0") {
    for (const BatchParts& parts : {BatchParts{}, kAllParts}) {
        const data::Batch batch = random_batch(small_config(0), 6, 24, 5, parts);
        for (const Pooling pooled : {Pooling::cls, Pooling::mean})
            for (const float dropout : {0.1f, 0.0f}) {
                CAPTURE(std::string(kPoolingNames[static_cast<size_t>(pooled)]));
                CAPTURE(dropout);
                const Parameters parameters(strong_config(dropout), heads_for(batch));
                const Backward align =
                    backward(parameters, align_options(batch, 3, {.pooled = pooled}, batch.length), batch, kAlignStep);
                CHECK(align.result["kl_local"] == 0);
                CHECK(align.result["kl_global"] == 0);
                CHECK(align.result["mlm_loss_full"] == align.result["mlm_loss"]);
                CHECK(align.result["nsp_loss_full"] == align.result["nsp_loss"]);
                if (dropout > 0) continue;
                // What is left is the dense step. (Its last layer has other rows, and so other draws of dropout.)
                const StepOptions options = options_for(batch, 3);
                const Backward dense = backward(parameters, options, batch);
                check_same_losses({align.result.loss, {}}, {dense.result.loss, {}}, 1);
                const Backward rounded = backward(parameters, options, reversed(batch));
                check_same(parameters, align.gradients, dense.gradients, {rounded.gradients, dense.gradients}, 8);
            }
    }
}

TEST_CASE("a shared trunk and two are the same function, to f32 rounding, without dropout; with it they are not") {
    for (const BatchParts& parts : {BatchParts{}, kAllParts}) {
        const data::Batch batch = random_batch(small_config(0), 12, 24, 5, parts);
        const Parameters parameters(strong_config(0), heads_for(batch)), dropped(strong_config(0.1f), heads_for(batch));
        const auto align = [&](const Parameters& p, const data::Batch& b, Pooling pooled, bool share) {
            return backward(p, align_options(b, 12, {.pooled = pooled, .share_trunk = share}), b, kAlignStep);
        };
        for (const Pooling pooled : {Pooling::cls, Pooling::mean}) {
            CAPTURE(std::string(kPoolingNames[static_cast<size_t>(pooled)]));
            const Backward one = align(parameters, batch, pooled, true), two = align(parameters, batch, pooled, false);
            CHECK(kLambda * one.result["kl_local"] > 0.02);
            CHECK(kLambda * one.result["kl_global"] > 0.02);
            check_same_losses(two.result, one.result, 1);
            const Backward rounded = align(parameters, reversed(batch), pooled, true);
            check_same(parameters, two.gradients, one.gradients, {rounded.gradients, one.gradients}, 1);
            // The second trunk draws dropout of its own, so that the passes differ by more than the dropped tokens.
            CHECK(align(dropped, batch, pooled, false).result["kl_local"] >
                  align(dropped, batch, pooled, true).result["kl_local"]);
        }
    }
}

TEST_CASE(
    "running the pass with dropped tokens twice gives the same losses, and gradients to f32 rounding, in less memory") {
    const data::Batch batch = random_batch(small_config(0), 12, 24, 5, kAllParts);
    const Parameters parameters(strong_config(0.1f), heads_for(batch));
    for (SctdOptions align : all_switches()) {
        if (align.recompute) continue;
        CAPTURE(text_of(align));
        const StepOptions once = align_options(batch, 4, align);
        align.recompute = true;
        const StepOptions twice = align_options(batch, 4, align);
        const Backward a = backward(parameters, once, batch, kAlignStep),
                       b = backward(parameters, twice, batch, kAlignStep);
        CHECK(b.result.loss == a.result.loss);
        CHECK(b.result["kl_local"] == a.result["kl_local"]);
        CHECK(b.result["kl_global"] == a.result["kl_global"]);
        const Backward rounded = backward(parameters, once, reversed(batch), kAlignStep);
        check_same(parameters, b.gradients, a.gradients, {rounded.gradients, a.gradients}, 8);
        const auto bytes = [&](const StepOptions& o) {
            return StepPrograms(parameters, o).of(kAlignStep).first.plan.bytes;
        };
        CHECK(bytes(twice) < bytes(once));
    }
}

TEST_CASE("1 x 12, 3 x 4 and 12 x 1 give the same losses and gradients, to f32 rounding") {
    const data::Batch batch = random_batch(small_config(0), 12, 24, 5, kAllParts);
    const Parameters plain(strong_config(0), heads_for(batch)), dropped(strong_config(0.1f), heads_for(batch));
    for (const SctdOptions& switches : all_switches()) {
        CAPTURE(text_of(switches));
        const auto align = [&](const Parameters& p, const data::Batch& b, int64_t micro_batch) {
            SctdOptions o = switches;
            if (o.pooled == Pooling::mean) o.kl_normalization = KlNormalization::sequences;
            return backward(p, align_options(b, micro_batch, o), b, kAlignStep);
        };
        const Backward full_batch = align(plain, batch, 12), rounded = align(plain, reversed(batch), 12),
                       full_batch_dropped = align(dropped, batch, 12);
        for (const int64_t micro_batch : {4, 1}) {
            CAPTURE(micro_batch);
            const Backward parts = align(plain, batch, micro_batch), parts_dropped = align(dropped, batch, micro_batch);
            check_same_losses(parts.result, full_batch.result, 12);
            check_same_losses(parts_dropped.result, full_batch_dropped.result, 12);
            const Rounding shown{rounded.gradients, full_batch.gradients};
            check_same(plain, parts.gradients, full_batch.gradients, shown, 12);
            check_same(plain, parts_dropped.gradients, full_batch_dropped.gradients, shown, 12);
        }
    }
}

TEST_CASE("the terms of the loss: normalisation, λ, MLM of both passes or of one") {
    const data::Batch batch = random_batch(small_config(0), 6, 24, 5, kAllParts);
    const Parameters parameters(strong_config(0), heads_for(batch));
    const auto result = [&](KlNormalization kl, bool full_mlm, double lambda) {
        const SctdOptions o{.kl_normalization = kl, .full_mlm = full_mlm};
        return backward(parameters, align_options(batch, 3, o, 11, lambda), batch, kAlignStep).result;
    };
    const StepResult tokens = result(KlNormalization::tokens, true, kLambda),
                     sequences = result(KlNormalization::sequences, true, kLambda),
                     one = result(KlNormalization::tokens, false, kLambda),
                     none = result(KlNormalization::tokens, false, 0);
    CHECK(tokens["mlm_count"] != 6);
    CHECK(tokens["kl_local"] * tokens["mlm_count"] == doctest::Approx(sequences["kl_local"] * 6).epsilon(1e-12));
    CHECK(tokens["kl_global"] * tokens["mlm_count"] == doctest::Approx(sequences["kl_global"] * 6).epsilon(1e-12));
    const auto main = [](const StepResult& r) { return mean_loss(r) + r["nsp_loss"] / 6; };
    const auto full = [](const StepResult& r) { return mean_loss_full(r) + r["nsp_loss_full"] / 6; };
    for (const StepResult& r : {tokens, sequences})
        CHECK(
            r.loss ==
            doctest::Approx(0.5 * main(r) + 0.5 * full(r) + kLambda * (r["kl_local"] + r["kl_global"])).epsilon(1e-12));
    CHECK(one.loss == doctest::Approx(main(one) + kLambda * (one["kl_local"] + one["kl_global"])).epsilon(1e-12));
    CHECK(one["mlm_loss_full"] == 0);
    CHECK(none.loss == doctest::Approx(main(none)).epsilon(1e-12));
    CHECK(one["mlm_loss"] == tokens["mlm_loss"]);
    CHECK(one["kl_global"] == tokens["kl_global"]);

    const StepPrograms programs(parameters, align_options(batch, 3, {.full_mlm = false}));
    const Program& program = programs.of(kAlignStep).first.program;
    CHECK(!program.has(names::kMlmTotalsFull));
    CHECK(!program.has(names::kNspTotalsFull));
    for (const Op& op : program.ops()) CHECK(!op.name.starts_with("full/mlm"));
}

TEST_CASE("λ = 0 and no MLM of the full pass: the gradients of the token-dropping step") {
    for (const BatchParts& parts : {BatchParts{}, kAllParts})
        for (const bool share : {true, false}) {
            CAPTURE(share);
            const data::Batch batch = random_batch(small_config(0), 6, 24, 5, parts);
            const Parameters parameters(strong_config(0), heads_for(batch));
            const StepOptions options = align_options(batch, 3, {.full_mlm = false, .share_trunk = share}, 11, 0);
            const Backward align = backward(parameters, options, batch, kAlignStep),
                           dropping = backward(parameters, options, batch, kDroppingStep),
                           rounded = backward(parameters, options, reversed(batch), kDroppingStep);
            CHECK(align.result["kl_local"] > 0);
            check_same_losses({align.result.loss, {}}, {dropping.result.loss, {}}, 1);
            check_same(parameters, align.gradients, dropping.gradients, {rounded.gradients, dropping.gradients}, 1);
        }
}

TEST_CASE("what stands in the padding makes no difference") {
    const data::Batch batch = random_batch(small_config(0), 6, 24, 5, kAllParts);
    data::Batch other = batch;
    for (int64_t s = 0; s < batch.sequences; ++s)
        for (int64_t i = batch.lengths[static_cast<size_t>(s)]; i < batch.length; ++i)
            other.input_ids[static_cast<size_t>(s * batch.length + i)] = static_cast<int32_t>(100 + i);
    const Parameters parameters(strong_config(0.1f), heads_for(batch));
    for (const Pooling pooled : {Pooling::cls, Pooling::mean})
        for (const int64_t keep : {11, 20})  // a sequence has 12 real tokens
            for (const StepKind kind : {StepKind::dense, kDroppingStep, kAlignStep}) {
                CAPTURE(std::string(kPoolingNames[static_cast<size_t>(pooled)]));
                CAPTURE(keep);
                CAPTURE(static_cast<uint32_t>(kind));
                const StepOptions options = align_options(batch, 3, {.pooled = pooled}, keep);
                const Backward a = backward(parameters, options, batch, kind),
                               b = backward(parameters, options, other, kind);
                CHECK(a.result.loss == b.result.loss);
                CHECK(a.gradients == b.gradients);
            }
}

double norm(const std::vector<float>& x) {
    double squares = 0;
    for (const float v : x) squares += double{v} * v;
    return std::sqrt(squares);
}

TEST_CASE("the gradient of the whole step is that of its loss, by finite differences") {
    for (const BatchParts& parts : {BatchParts{}, kAllParts}) {
        CAPTURE(parts.lengths);
        const data::Batch batch = random_batch(small_config(0), 4, 24, 5, parts);
        const Parameters parameters(strong_config(0.1f), heads_for(batch));
        // The dense step shows how well the differences do in f32, where the loss is a mean of logs. The divergences
        // are such means too, and come with λ times sequences / masked slots, twice.
        const double limit = gradient_error_limit(parameters, batch),
                     count = std::accumulate(batch.masked_weights.begin(), batch.masked_weights.end(), 0.0),
                     align_limit = limit * (1 + 2 * kLambda * static_cast<double>(batch.sequences) / count);
        CHECK(align_limit < 1e-2);
        // The divergences have a share in it that is seen.
        const auto gradients = [&](double lambda) {
            return backward(parameters, align_options(batch, 2, {}, 11, lambda), batch, kAlignStep).gradients;
        };
        std::vector<float> with = gradients(kLambda), without = gradients(0);
        for (size_t i = 0; i < with.size(); ++i) without[i] -= with[i];
        CHECK(norm(without) > 0.2 * norm(with));

        for (const SctdOptions& align : all_switches()) {
            CAPTURE(text_of(align));
            ReadyStep step(parameters, align_options(batch, 2, align));
            check_gradient(parameters, step, batch, kAlignStep, align_limit);
        }
        ReadyStep step(parameters, align_options(batch, 2));
        check_gradient(parameters, step, batch, kDroppingStep, limit);
    }
}

}  // namespace
}  // namespace dropforge
