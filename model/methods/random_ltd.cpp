#include "model/methods/random_ltd.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "model/methods/routing.h"
#include "model/network/bert.h"
#include "model/network/names.h"
#include "model/ops/dropping_ops.h"

namespace dropforge {

namespace {

/// K(t) = start + stage · ⌊(S − start) · t / (T · stage)⌋ after t < T steps, then S: the first step of each value.
std::vector<LtdStage> stages_of(const RunShape& shape, const RandomLtdOptions& o) {
    const int64_t s = shape.sequence, start = o.start.of(s), total = o.steps.of(shape.steps), grows = s - start;
    std::vector<LtdStage> stages;
    for (int64_t j = 0; grows > 0 && total > 0; ++j) {
        const int64_t before = j == 0 ? 0 : (j * total * o.stage + grows - 1) / grows;  // t of the first step
        if (before >= total) break;
        if (!stages.empty() && stages.back().first_step == before + 1) stages.pop_back();  // no step was left for it
        stages.push_back({before + 1, start + o.stage * j});
    }
    stages.push_back({stages.empty() ? 1 : total + 1, s});
    return stages;
}

/// Of an input with given positions: stages have other numbers of them.
std::string given_name(const char* what, const LtdStage& stage, int64_t layer) {
    return fmt::format("{}/step{}/layer{}", what, stage.first_step, layer);
}

}  // namespace

RandomLtd::RandomLtd(const RunShape& shape, const RandomLtdOptions& options)
    : RandomLtd(shape, stages_of(shape, options)) {}

RandomLtd::RandomLtd(const RunShape& shape, std::vector<LtdStage> stages) : Method(shape), stages_(std::move(stages)) {}

std::string RandomLtd::text() const {
    const LtdStage &first = stages_.front(), &last = stages_.back();
    return fmt::format("{}: layers 1 … {} work on {} of {} tokens at first, on {} from step {} on", name(),
                       shape_.model.layers - 2, first.keep, shape_.sequence, last.keep, last.first_step);
}

std::vector<std::string> RandomLtd::kinds() const {
    std::vector<std::string> names = {"dense"};
    for (const LtdStage& s : stages_) names.push_back(fmt::format("{} tokens", s.keep));
    return names;
}

StepKind RandomLtd::kind(int64_t step) const {
    const auto after = std::ranges::upper_bound(stages_, step, {}, &LtdStage::first_step);
    const LtdStage& s = *std::prev(after);
    if (s.keep == shape_.sequence && s.positions.empty()) return StepKind::dense;
    return StepKind{static_cast<uint32_t>(after - stages_.begin())};
}

int64_t RandomLtd::end(size_t stage) const {
    return stage + 1 == stages_.size() ? shape_.steps : std::min(stages_[stage + 1].first_step - 1, shape_.steps);
}

int64_t RandomLtd::count(StepKind kind) const {
    int64_t count = 0;
    for (size_t i = 0; i < stages_.size(); ++i)
        if (this->kind(stages_[i].first_step) == kind)
            count += std::max<int64_t>(end(i) - stages_[i].first_step + 1, 0);
    return count;
}

double RandomLtd::share(StepKind kind) const {
    const int64_t dense = count(StepKind::dense);
    if (dense == shape_.steps) return kind == StepKind::dense ? 1 : 0;
    return kind == StepKind::dense ? 0 : static_cast<double>(count(kind)) / static_cast<double>(shape_.steps - dense);
}

/// The positions of one layer. Drawn, the K with the largest of S uniform numbers stay: every set is as likely, and
/// follows from seed, step, sequence and layer alone. `zeros` f32 [V] are what the tokens add to their numbers.
TokenSubset RandomLtd::draw(Builder& builder, const LtdStage& stage, int64_t layer, Tensor zeros) const {
    const std::string name = fmt::format("random_ltd/layer{}", layer);
    Program& program = builder.program;
    const Tensor drawn = program.planned(name + ".drawn", DType::f32, builder.input_ids.shape);
    ops::token_values(program, name + ".drawn", builder.input_ids, zeros, builder.dropout_state,
                      kRoutingDraw - static_cast<uint32_t>(layer), drawn);
    const int64_t sequences = builder.options.batch;
    TokenSubset subset{.index = program.planned(name + ".kept", DType::i32, {sequences, stage.keep})};
    if (builder.lengths) subset.lengths = program.planned(name + ".lengths", DType::i32, {sequences});
    ops::top_k(program, name + ".kept", drawn, builder.lengths, subset.index, subset.lengths);
    return subset;
}

TokenSubset RandomLtd::given(Builder& builder, const LtdStage& stage, int64_t layer) const {
    const int64_t sequences = builder.options.batch;
    TokenSubset subset{
        .index = builder.input(given_name(names::kKeptPositions, stage, layer), DType::i32, {sequences, stage.keep})};
    if (builder.lengths)
        subset.lengths = builder.input(given_name(names::kKeptLengths, stage, layer), DType::i32, {sequences});
    return subset;
}

Program RandomLtd::program(StepKind kind, const Parameters& parameters, const BuildOptions& options) const {
    if (kind == StepKind::dense) return dense_step(parameters, options);
    const LtdStage& s = stage(kind);
    Program program(fmt::format("random-LTD step, {} tokens{}", s.keep, options.accumulate ? ", accumulating" : ""));
    Builder builder(program, parameters, options);
    std::vector<LayerSpan> spans = {{.begin = 0, .end = 1}};
    Tensor zeros;
    if (s.positions.empty()) {
        zeros = program.planned("random_ltd/zeros", DType::f32, {builder.config.vocabulary});
        ops::clear(program, "random_ltd/zeros", zeros);
    }
    for (int64_t i = 1; i < builder.config.layers - 1; ++i)
        spans.push_back({.begin = i, .end = i + 1, .rows = zeros ? draw(builder, s, i, zeros) : given(builder, s, i)});
    add_training_step(builder, spans);
    return program;
}

std::vector<std::string> RandomLtd::input_names(StepKind kind) const {
    std::vector<std::string> all;
    if (kind == StepKind::dense) return all;
    const LtdStage& s = stage(kind);
    for (size_t i = 0; i < s.positions.size(); ++i)
        for (const char* what : {names::kKeptPositions, names::kKeptLengths})
            all.push_back(given_name(what, s, static_cast<int64_t>(i) + 1));
    return all;
}

void RandomLtd::fill_inputs(const StepInfo& info, const MicroBatch& batch, const InputPlace& place) const {
    if (info.kind == StepKind::dense) return;
    const LtdStage& s = stage(info.kind);
    for (size_t i = 0; i < s.positions.size(); ++i) {
        const auto layer = static_cast<int64_t>(i) + 1;
        const std::span<int32_t> kept = place(given_name(names::kKeptPositions, s, layer));
        std::copy_n(s.positions[i].begin() + batch.first * s.keep, kept.size(), kept.begin());
        std::ranges::transform(batch.lengths, place(given_name(names::kKeptLengths, s, layer)).begin(),
                               [&](int32_t length) { return std::min(length, static_cast<int32_t>(s.keep)); });
    }
}

std::optional<double> RandomLtd::kept_share(StepKind kind) const {
    const int64_t keep = kind == StepKind::dense ? shape_.sequence : stage(kind).keep;
    return static_cast<double>(keep) / static_cast<double>(shape_.sequence);
}

namespace {

constexpr int64_t kFewestLayers = 3;

std::vector<config::MethodKey> keys() {
    using namespace config;
    using Options = RandomLtdOptions;
    return {
        {"random_ltd", "start", [](OptionTables& t) -> Slot { return &t.of<Options>().start; }, {1, 65536}},
        {"random_ltd", "steps", [](OptionTables& t) -> Slot { return &t.of<Options>().steps; }, {1, kMany}},
        {"random_ltd", "stage", [](OptionTables& t) -> Slot { return &t.of<Options>().stage; }, {1, 65536}},
    };
}

void check(const RunShape& shape, const OptionTables& options, const NamedKey& key) {
    const RandomLtdOptions& o = options.of<RandomLtdOptions>();
    require(shape.model.layers >= kFewestLayers, "{} is {}: {} = \"random_ltd\" wants at least {}", key("model.layers"),
            shape.model.layers, key("train.method"), kFewestLayers);
    const int64_t start = o.start.of(shape.sequence);
    require(start >= 1 && start <= shape.sequence,
            "{} is {}, which is {} of the {} tokens of {}: it must be 1 … {} of them", key("random_ltd.start"),
            o.start.text(), start, shape.sequence, key("data.sequence"), shape.sequence);
}

/// kept_positions/layerI of layers 1 … L-2, or those of a later step: kept_positions/stepN/layerI.
LtdStage read_stage(const ParityCase& given, const std::string& prefix, int64_t step) {
    const SafetensorsFile& file = given.batch;
    const RunShape& shape = given.shape;
    const int64_t sequences = file.info(names::kInputIds).shape.at(0);
    LtdStage stage{.first_step = step, .keep = 0};
    for (int64_t layer = 1; layer < shape.model.layers - 1; ++layer) {
        const std::string name = fmt::format("{}layer{}", prefix, layer);
        const TensorInfo& info = file.info(name);
        if (layer == 1 && info.shape.size() == 2) stage.keep = info.shape[1];
        require(stage.keep >= 1 && stage.keep <= shape.sequence && info.shape == std::vector{sequences, stage.keep},
                "{}: {} must be [{}, K], the same K in all layers, at most {}", file.path().string(), name, sequences,
                shape.sequence);
        std::vector<int32_t>& positions = stage.positions.emplace_back(static_cast<size_t>(info.size()));
        file.read(name, std::span<int32_t>(positions), info.shape);
        for (size_t i = 0; i < positions.size(); ++i) {
            const int32_t least = i % static_cast<size_t>(stage.keep) == 0 ? 0 : positions[i - 1] + 1;
            require(positions[i] >= least && positions[i] < shape.sequence,
                    "{}: {}[{}] is {}: positions must ascend within each sequence, from 0 to {}", file.path().string(),
                    name, i, positions[i], shape.sequence - 1);
        }
    }
    return stage;
}

std::shared_ptr<const Method> make_for_parity(const ParityCase& given) {
    require(given.shape.model.layers >= kFewestLayers, "{}: random_ltd needs {} layers or more, not {}", given.model,
            kFewestLayers, given.shape.model.layers);
    std::vector<LtdStage> stages = {read_stage(given, "kept_positions/", 1)};
    for (int64_t step = 2; step <= given.shape.steps; ++step)
        if (const std::string prefix = fmt::format("kept_positions/step{}/", step); given.batch.has(prefix + "layer1"))
            stages.push_back(read_stage(given, prefix, step));
    return std::make_shared<RandomLtd>(given.shape, std::move(stages));
}

}  // namespace

MethodEntry random_ltd_method() {
    return {.name = "random_ltd",
            .tables = {"random_ltd"},
            .keys = keys(),
            .check = check,
            .make_for_parity = make_for_parity,
            .make = [](const RunShape& shape, const OptionTables& options) -> std::shared_ptr<const Method> {
                return std::make_shared<RandomLtd>(shape, options.of<RandomLtdOptions>());
            }};
}

}  // namespace dropforge
