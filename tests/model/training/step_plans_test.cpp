// The Programs of every preset's steps: counted FLOPs, and what their memory plans need.
// label: levels
#include <doctest/doctest.h>

#include "model/methods/sctd.h"
#include "model/training/step_programs.h"

namespace dropforge {
namespace {

constexpr const char* kPresets[] = {"bert-mini", "bert-small", "bert-medium", "bert-base", "bert-large"};
constexpr StepKind kKinds[] = {StepKind::dense, kDroppingStep, kAlignStep};

StepOptions options_for(const BertConfig& c, int64_t sequence, int64_t keep, DType dtype,
                        const SctdOptions& sctd = {}) {
    const DroppingOptions dropping{.keep = {static_cast<double>(keep), false}};
    return {.batch = 16,
            .micro_batch = 8,
            .sequence = sequence,
            .masked = (15 * sequence + 50) / 100,
            .dtype = dtype,
            .method = std::make_shared<Sctd>(RunShape{c, sequence, 1000}, dropping, sctd),
            .kinds = {std::begin(kKinds), std::end(kKinds)}};
}

/// docs/algorithms.md, "FLOPs": of one sequence.
struct Formula {
    double layers, h, f, vocabulary, s, k, m;

    Formula(const BertConfig& c, const StepOptions& o)
        : layers(static_cast<double>(c.layers)),
          h(static_cast<double>(c.hidden)),
          f(static_cast<double>(c.intermediate)),
          vocabulary(static_cast<double>(c.vocabulary)),
          s(static_cast<double>(o.sequence)),
          k(static_cast<double>(o.method->chosen(kDroppingStep)[0].count)),
          m(static_cast<double>(o.masked)) {}

    double layer(double queries, double keys) const {
        return queries * (4 * h * h + 4 * h * f) + keys * 4 * h * h + 4 * queries * keys * h;
    }
    double heads() const { return m * (2 * h * h + 2 * h * vocabulary); }
    double dropped_layers() const { return layer(k, s) + (layers / 2 - 1) * layer(k, k); }
    double trunk() const { return (layers / 2 - 1) * layer(s, s); }
    double dense() const { return 3 * ((layers - 1) * layer(s, s) + layer(m, s) + heads()); }
    double dropping() const { return 3 * (trunk() + dropped_layers() + layer(m, s) + heads()); }
    /// `last`: query rows of the last layer, in the pass with dropped tokens and in the full one; `trunks`: how often
    /// that runs; `full_heads`: whether the full pass has its own.
    double align(double last, double full_last, double trunks, bool full_heads) const {
        const double full = layers / 2 * layer(s, s) + layer(full_last, s) + (full_heads ? heads() : 0);
        return 3 * (trunks * trunk() + dropped_layers() + layer(last, s) + heads() + full);
    }
};

void check_flops(const StepPrograms& p, StepKind kind, double a_sequence) {
    CAPTURE(static_cast<uint32_t>(kind));
    const StepPrograms::Passes& passes = p.of(kind);
    CHECK(passes.first.program.flops() == static_cast<double>(p.options.micro_batch) * a_sequence);
    CHECK(passes.accumulating->program.flops() == passes.first.program.flops());
    CHECK(p.flops(kind) == static_cast<double>(p.options.batch) * a_sequence);
}

TEST_CASE("every preset: FLOPs are the formula's, plans at most 1.05 x their lower bound") {
    for (const char* name : kPresets) {
        CAPTURE(name);
        const Parameters parameters(BertConfig::preset(name), {mlm_head()});
        for (const int64_t sequence : {128, 512}) {
            for (const DType dtype : {DType::f32, DType::bf16}) {
                CAPTURE(sequence);
                CAPTURE(std::string(name_of(dtype)));
                const StepOptions options =
                    options_for(parameters.config(), sequence, dtype == DType::f32 ? sequence / 2 : 77, dtype);
                const StepPrograms p(parameters, options);
                const Formula formula(parameters.config(), options);
                check_flops(p, StepKind::dense, formula.dense());
                check_flops(p, kDroppingStep, formula.dropping());
                check_flops(p, kAlignStep, formula.align(formula.m + 1, formula.m + 1, 1, true));
                for (const PlannedProgram* planned : p.all()) {
                    CAPTURE(planned->program.name());
                    CHECK(static_cast<double>(planned->plan.bytes) <=
                          1.05 * static_cast<double>(planned->plan.lower_bound));
                }
            }
        }
    }
}

TEST_CASE("an align step's variants: FLOPs are the formula's") {
    const Parameters parameters(BertConfig::preset("bert-mini"), {mlm_head()});
    for (const bool share : {true, false})
        for (const bool full_mlm : {true, false})
            for (const Pooling pooled : {Pooling::cls, Pooling::mean}) {
                CAPTURE(share);
                CAPTURE(full_mlm);
                CAPTURE(std::string(kPoolingNames[static_cast<size_t>(pooled)]));
                const SctdOptions sctd{.pooled = pooled, .full_mlm = full_mlm, .share_trunk = share};
                const StepOptions options = options_for(parameters.config(), 128, 51, DType::f32, sctd);
                const Formula formula(parameters.config(), options);
                const bool mean = pooled == Pooling::mean;
                const double last = mean ? formula.s : formula.m + 1, full_last = mean       ? formula.s
                                                                                  : full_mlm ? last
                                                                                             : 1;
                check_flops(StepPrograms(parameters, options), kAlignStep,
                            formula.align(last, full_last, share ? 1 : 2, full_mlm));
            }
}

TEST_CASE("bert-base, 512 tokens: dropping half of them needs at most 0.85 of the dense step's memory") {
    const Parameters parameters(BertConfig::preset("bert-base"), {mlm_head()});
    for (const DType dtype : {DType::f32, DType::bf16}) {
        CAPTURE(std::string(name_of(dtype)));
        const StepPrograms p(parameters, options_for(parameters.config(), 512, 256, dtype));
        const auto bytes = [&](StepKind kind) { return static_cast<double>(p.of(kind).first.plan.bytes); };
        MESSAGE(std::string(name_of(dtype)) << ": dropping " << bytes(kDroppingStep) / bytes(StepKind::dense)
                                            << ", align " << bytes(kAlignStep) / bytes(StepKind::dense)
                                            << " of the dense plan's " << bytes(StepKind::dense) / 1e9 << " GB");
        CHECK(bytes(kDroppingStep) <= 0.85 * bytes(StepKind::dense));
    }
}

}  // namespace
}  // namespace dropforge
