#include "model/run/pretraining_metrics.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

namespace dropforge {

namespace {

using Json =
    nlohmann::ordered_json;  // prints a double as the shortest decimal that reads back as the same, and NaN as null

Json to_json(const StepMetrics& metrics) {
    Json json = {{"step", metrics.step},
                 {"time", metrics.time},
                 {"tokens", metrics.tokens},
                 {"loss", metrics.loss},
                 {"mlm_accuracy", metrics.mlm_accuracy},
                 {"lr", metrics.lr},
                 {"grad_norm", metrics.grad_norm}};
    for (const auto& [name, value] : metrics.extras) json[name] = value;
    json["sequences_per_second"] = metrics.sequences_per_second;
    json["tokens_per_second"] = metrics.tokens_per_second;
    json["mfu"] = metrics.mfu ? Json(*metrics.mfu) : Json();
    json["seconds_waiting_for_data"] = metrics.seconds_waiting_for_data;
    return json;
}

Json to_json(const EvalMetrics& metrics) {
    Json json = {{"step", metrics.step},
                 {"time", metrics.time},
                 {"eval_loss", metrics.eval_loss},
                 {"eval_accuracy", metrics.eval_accuracy}};
    if (metrics.pairs) {
        json["eval_nsp_loss"] = metrics.pairs->loss;
        json["eval_nsp_accuracy"] = metrics.pairs->accuracy;
    }
    json["eval_seconds"] = metrics.eval_seconds;
    return json;
}

/// The tag of each metric in TensorBoard, which shows those of one prefix together (docs/metrics.md).
std::vector<EventFile::Scalar> scalars(const StepMetrics& metrics) {
    std::vector<EventFile::Scalar> values = {{"train/loss", metrics.loss},
                                             {"train/mlm_accuracy", metrics.mlm_accuracy},
                                             {"train/lr", metrics.lr},
                                             {"train/grad_norm", metrics.grad_norm},
                                             {"speed/sequences_per_second", metrics.sequences_per_second},
                                             {"speed/tokens_per_second", metrics.tokens_per_second},
                                             {"speed/seconds_waiting_for_data", metrics.seconds_waiting_for_data}};
    if (metrics.mfu) values.emplace_back("speed/mfu", *metrics.mfu);
    for (const auto& [name, value] : metrics.extras) values.emplace_back("train/" + name, value);
    return values;
}

std::vector<EventFile::Scalar> scalars(const EvalMetrics& metrics) {
    std::vector<EventFile::Scalar> values = {{"eval/loss", metrics.eval_loss},
                                             {"eval/accuracy", metrics.eval_accuracy}};
    if (metrics.pairs)
        values.insert(values.end(),
                      {{"eval/nsp_loss", metrics.pairs->loss}, {"eval/nsp_accuracy", metrics.pairs->accuracy}});
    return values;
}

template <typename Metrics>
MetricsLine line_of(const Metrics& metrics) {
    return {.step = metrics.step, .time = metrics.time, .json = to_json(metrics).dump(), .scalars = scalars(metrics)};
}

}  // namespace

StepMetrics step_metrics(const RunPlan& plan, const StepOutcome& last, const NamedNumbers& interval,
                         const TrainingSpeed& speed) {
    const int64_t step = last.settings.step, batch = plan.config.train.batch, sequence = plan.config.data.sequence;
    const double count = interval["count"], rate = speed.steps_per_second * static_cast<double>(batch);
    StepMetrics metrics{.step = step,
                        .tokens = step * batch * sequence,
                        .loss = count > 0 ? interval["loss"] / count : std::numeric_limits<double>::quiet_NaN(),
                        .mlm_accuracy = interval["correct"] / std::max(count, 1.0),
                        .lr = last.settings.learning_rate,
                        .grad_norm = last.gradient_norm,
                        .time = unix_seconds(),
                        .sequences_per_second = rate,
                        .tokens_per_second = rate * static_cast<double>(sequence),
                        .mfu = speed.mfu,
                        .seconds_waiting_for_data = speed.seconds_waited};
    if (last.loss_scale) metrics.extras["loss_scale"] = *last.loss_scale;
    for (const auto& [name, value] : plan.method->metrics(step, interval)) metrics.extras[name] = value;
    return metrics;
}

StepMetrics::operator MetricsLine() const { return line_of(*this); }

EvalMetrics::operator MetricsLine() const { return line_of(*this); }

}  // namespace dropforge
