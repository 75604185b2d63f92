#include "finetune/plan.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "base/error.h"
#include "finetune/evaluation/task_batch.h"
#include "finetune/record.h"

namespace dropforge {

namespace {

/// Keys that the machine decides keep, in a run that goes on, the values that they had.
FinetuneConfig resumed(FinetuneConfig config, const fs::path& out) {
    const fs::path file = out / "config.toml";
    if (!fs::exists(file)) return config;
    const FinetuneConfig before = recorded_finetuning(read_text(file), file.string());
    if (config.train.micro_batch == 0) config.train.micro_batch = before.train.micro_batch;
    if (config.train.precision == Precision::automatic) config.train.precision = before.train.precision;
    return config;
}

BertConfig with_dropout(BertConfig config, const FinetuneConfig::Model& model) {
    if (model.dropout) config.hidden_dropout = static_cast<float>(*model.dropout);
    if (model.attention_dropout) config.attention_dropout = static_cast<float>(*model.attention_dropout);
    return config;
}

/// The number of the layer that a tensor belongs to: −1 of the embeddings, `layers` of heads.
int64_t layer_of(const HfTensor& tensor, int64_t layers) {
    if (tensor.head != nullptr) return layers;
    constexpr std::string_view kLayer = "bert.encoder.layer.";
    if (!tensor.name.starts_with(kLayer)) return -1;
    int64_t layer = 0;
    std::from_chars(tensor.name.data() + kLayer.size(), tensor.name.data() + tensor.name.size(), layer);
    return layer;
}

TaskStepOptions step_options(const FinetunePlan& plan) {
    const FinetuneConfig::Train& t = plan.config.train;
    std::set<int64_t> lengths;
    for (const int64_t length : lengths_of(plan.files.training.items)) lengths.insert(plan.bucket_of(length));
    const int64_t batch = std::min(t.batch, std::ssize(plan.files.training.items.items));
    return {.batch = batch,
            .micro_batch = t.micro_batch > 0 ? std::min(t.micro_batch, batch) : batch,
            .sequences = sequences_per_item(plan.files.training),
            .lengths = {lengths.begin(), lengths.end()},
            .dtype = plan.precision.dtype,
            .optimizer = {.weight_decay = static_cast<float>(t.weight_decay),
                          .beta1 = static_cast<float>(t.beta1),
                          .beta2 = static_cast<float>(t.beta2),
                          .epsilon = static_cast<float>(t.epsilon),
                          .clip = static_cast<float>(t.clip)},
            .segments = trained_segments(plan.parameters, t.frozen, t.layer_decay),
            .frozen = t.frozen,
            .seed = static_cast<uint64_t>(t.seed)};
}

}  // namespace

std::vector<kernels::Segment> trained_segments(const Parameters& parameters, int64_t frozen, double decay) {
    const int64_t layers = parameters.config().layers;
    std::vector<kernels::Segment> segments;
    for (const HfTensor& t : parameters.tensors()) {
        const int64_t layer = layer_of(t, layers);
        if (frozen > 0 && layer < frozen) continue;
        const double rate = layer == layers ? 1 : std::pow(decay, static_cast<double>(layers - 1 - layer));
        segments.push_back(
            {.offset = t.offset, .size = t.shape.size(), .decay = t.decay, .rate = static_cast<float>(rate)});
    }
    return segments;
}

FinetunePlan::FinetunePlan(const FinetuneOptions& o, bool choosing)
    : model(ModelFolder::open(o.model)),
      config(resumed(o.config, o.folder_of(o.config.train.seed))),
      max_length(task_length(o.task, config, model.config)),
      files(choosing ? read_held_out(o.task, o.training, config, model, config.train.seed)
                     : read_task_files(o.task, o.training, o.evaluated, config, model)),
      precision(resolve_precision(config.train.precision, o.device)),
      classifier_dropout(config.model.classifier_dropout.value_or(
          model.classifier_dropout.value_or(config.model.dropout.value_or(double{model.config.hidden_dropout})))),
      head(task_head(task(), head_columns(files.training), static_cast<float>(classifier_dropout))),
      parameters(with_dropout(model.config, config.model), {head}),
      predictor{.batch = std::min(config.eval.batch, std::ssize(files.evaluated.items.items)),
                .sequences = sequences_per_item(files.training),
                .max_length = max_length,
                .bucket_step = bucket_step(o.device.kind != "cpu"),
                .pad = model.config.special->pad,
                .dtype = precision.dtype},
      step(step_options(*this)) {
    config.validate(model.config.layers, labels());
    config.train.precision = precision.dtype == DType::f32    ? Precision::f32
                             : precision.dtype == DType::bf16 ? Precision::bf16
                                                              : Precision::fp16;
    if (config.train.micro_batch == 0) choose_micro_batch(o.device);
    notes = model.tokenizer.notes;
    for (const TaskData* data : {&files.training, &files.evaluated})
        for (const std::string& note : notes_on(*data, max_length)) notes.push_back(note);
}

/// As many items at a time as fit into memory.
void FinetunePlan::choose_micro_batch(const Device& device) {
    const int64_t states = TrainedStates::bytes(parameters, step.dtype) + device.reserve,
                  evaluation = TaskPredictor::arena_bytes(parameters, head, predictor);
    const auto bytes = [&] { return states + std::max(TaskStep::arena_bytes(parameters, head, step), evaluation); };
    int64_t needed = bytes();
    while (needed > device.available && step.micro_batch > 1) {
        step.micro_batch = (step.micro_batch + 1) / 2;
        needed = bytes();
    }
    require(needed <= device.available,
            "fine-tuning with one item at a time needs {:.0f} MB of memory, {:.0f} are available",
            static_cast<double>(needed) / 1e6, static_cast<double>(device.available) / 1e6);
    config.train.micro_batch = step.micro_batch;
}

int64_t FinetunePlan::steps_per_epoch() const {
    return (std::ssize(files.training.items.items) + config.train.batch - 1) / config.train.batch;
}

int64_t FinetunePlan::steps() const {
    return config.train.steps > 0 ? config.train.steps : config.train.epochs * steps_per_epoch();
}

ScoringOptions FinetunePlan::scoring() const {
    return {.class_weights = config.train.class_weights,
            .max_answer = config.data.max_answer,
            .null_threshold = config.eval.null_threshold};
}

}  // namespace dropforge
