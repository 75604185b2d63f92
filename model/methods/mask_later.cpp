#include "model/methods/mask_later.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/network/bert.h"
#include "model/network/names.h"

namespace dropforge {

MaskLater::MaskLater(const RunShape& shape, int64_t layer, int64_t masks, double share)
    : Method(shape), layer_(layer), masks_(masks), share_(share) {}

std::string MaskLater::text() const {
    if (!leaves()) return fmt::format("{}: no layer leaves [MASK] out, so it is dense training", name());
    return fmt::format("{}: layers 0 … {} work on {} of {} tokens, without [MASK]", name(), layer_ - 1, rows(),
                       shape_.sequence);
}

std::vector<LayerSpan> MaskLater::spans(Builder& builder) const {
    const int64_t sequences = builder.options.batch;
    TokenSubset others{.index = builder.input(names::kKeptPositions, DType::i32, {sequences, rows()})};
    if (builder.lengths) others.lengths = builder.input(names::kKeptLengths, DType::i32, {sequences});
    return {{.begin = 0, .end = layer_, .rows = others}, {.begin = layer_, .end = builder.config.layers - 1}};
}

Program MaskLater::program(StepKind kind, const Parameters& parameters, const BuildOptions& options) const {
    if (kind == StepKind::dense) return dense_step(parameters, options);
    Program program(options.accumulate ? "mask-later step, accumulating" : "mask-later step");
    Builder builder(program, parameters, options);
    add_training_step(builder, spans(builder));
    return program;
}

Program MaskLater::evaluation_program(const Parameters& parameters, const BuildOptions& options) const {
    if (!leaves()) return evaluation(parameters, options);
    Program program("evaluation, mask later");
    Builder builder(program, parameters, options);
    add_evaluation(builder, spans(builder));
    return program;
}

std::vector<std::string> MaskLater::input_names(StepKind) const { return {names::kKeptPositions, names::kKeptLengths}; }

void MaskLater::fill_inputs(const StepInfo&, const MicroBatch& batch, const InputPlace& place) const {
    const std::span<int32_t> positions = place(names::kKeptPositions), lengths = place(names::kKeptLengths);
    if (positions.empty()) return;
    require(shape_.model.special.has_value(), "mask_later: the model does not say which id [MASK] is");
    const int32_t mask = shape_.model.special->mask;
    const auto sequences = static_cast<int64_t>(batch.input_ids.size()) / batch.length;
    auto* next = positions.data();
    for (int64_t s = 0; s < sequences; ++s) {
        const auto ids =
            batch.input_ids.subspan(static_cast<size_t>(s * batch.length), static_cast<size_t>(batch.length));
        const int64_t masks = std::ranges::count(ids, mask);
        require(masks == masks_, "mask_later: sequence {} of the batch has {} [MASK], it must have {}", batch.first + s,
                masks, masks_);
        for (int64_t i = 0; i < batch.length; ++i)
            if (ids[static_cast<size_t>(i)] != mask) *next++ = static_cast<int32_t>(i);
        if (!lengths.empty())
            lengths[static_cast<size_t>(s)] = batch.lengths[static_cast<size_t>(s)] - static_cast<int32_t>(masks_);
    }
}

std::vector<ChosenRows> MaskLater::chosen(StepKind kind) const {
    if (kind == StepKind::dense) return {};
    return {{names::kKeptPositions, rows()}};
}

std::optional<double> MaskLater::kept_share(StepKind) const {
    return leaves() ? static_cast<double>(rows()) / static_cast<double>(shape_.sequence) : 1;
}

std::string MaskLater::note_on_filling() const {
    if (layer_ == 0 || share_ == 0) return {};  // whatever number of masks there is here
    return fmt::format(
        "trained with mask_later: layers 0 … {} have never seen [MASK], so what it fills in here, where all "
        "layers see it, is not what it learned (evaluate leaves it out as training does)",
        layer_ - 1);
}

namespace {

/// Below 0 counted from the end.
int64_t layer_of(const MaskLaterOptions& o, int64_t layers) { return o.layer < 0 ? layers + o.layer : o.layer; }

int64_t masks_of(const MaskLaterOptions& o, int64_t masked) {
    return std::llround(o.mask_token_share * static_cast<double>(masked));
}

std::vector<config::MethodKey> keys() {
    using namespace config;
    using Options = MaskLaterOptions;
    return {
        {"mask_later", "layer", [](OptionTables& t) -> Slot { return &t.of<Options>().layer; }, {-1024, 1023}},
        {"data",
         "mask_token_share",
         [](OptionTables& t) -> Slot { return &t.of<Options>().mask_token_share; },
         {0, 1, false, false}},
    };
}

void check(const RunShape& shape, const OptionTables& options, const NamedKey& key) {
    const MaskLaterOptions& o = options.of<MaskLaterOptions>();
    const int64_t layer = layer_of(o, shape.model.layers);
    require(layer >= 0 && layer < shape.model.layers,
            "{} is {}: it must be 0 … {}, or -{} … -1 from the last of {} = {}", key("mask_later.layer"), o.layer,
            shape.model.layers - 1, shape.model.layers, key("model.layers"), shape.model.layers);
    require(!shape.whole_word, "{} is true: {} = \"mask_later\" wants the same number of [MASK] in every sequence",
            key("data.whole_word"), key("train.method"));
}

std::shared_ptr<const Method> make(const RunShape& shape, const OptionTables& options) {
    const MaskLaterOptions& o = options.of<MaskLaterOptions>();
    return std::make_shared<MaskLater>(shape, layer_of(o, shape.model.layers), masks_of(o, shape.masked),
                                       o.mask_token_share);
}

/// As many [MASK] as the batch has in its first sequence.
std::shared_ptr<const Method> make_for_parity(const ParityCase& given) {
    const MaskLaterOptions& o = given.options.of<MaskLaterOptions>();
    const int64_t layers = given.shape.model.layers, layer = layer_of(o, layers);
    require(layer >= 0 && layer < layers, "--mask-layer is {}: it must be 0 … {}", o.layer, layers - 1);
    if (layer == 0) return std::make_shared<MaskLater>(given.shape, 0, 0);
    require(given.shape.model.special.has_value(),
            "{}: config.json must name pad_token_id, unk_token_id, cls_token_id, sep_token_id and mask_token_id",
            given.model);
    const auto length = static_cast<size_t>(given.shape.sequence);
    std::vector<int32_t> ids(static_cast<size_t>(given.batch.info(names::kInputIds).size()));
    given.batch.read(names::kInputIds, std::span<int32_t>(ids), given.batch.info(names::kInputIds).shape);
    const int64_t masks = std::ranges::count(std::span(ids).first(length), given.shape.model.special->mask);
    require(masks < given.shape.sequence, "{}: input_ids: a sequence of nothing but [MASK]",
            given.batch.path().string());
    return std::make_shared<MaskLater>(given.shape, layer, masks);
}

}  // namespace

MethodEntry mask_later_method() {
    return {
        .name = "mask_later",
        .tables = {"mask_later", "data"},
        .keys = keys(),
        .check = check,
        .parity_options = {{"--mask-layer", "mask_later.layer", "Layer that [MASK] joins (default: the last but one)"}},
        .make_for_parity = make_for_parity,
        .make = make};
}

}  // namespace dropforge
