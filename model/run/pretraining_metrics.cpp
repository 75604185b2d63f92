#include "model/run/pretraining_metrics.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

namespace dropforge {

namespace {

using Json =
    nlohmann::ordered_json;  // prints a double as the shortest decimal that reads back as the same, and NaN as null

Json to_json(const StepMetrics& m) {
    Json json = {{"step", m.step},
                 {"time", m.time},
                 {"tokens", m.tokens},
                 {"loss", m.loss},
                 {"mlm_accuracy", m.mlm_accuracy},
                 {"lr", m.lr},
                 {"grad_norm", m.grad_norm}};
    for (const auto& [name, value] : m.extras) json[name] = value;
    json["sequences_per_second"] = m.sequences_per_second;
    json["tokens_per_second"] = m.tokens_per_second;
    json["mfu"] = m.mfu ? Json(*m.mfu) : Json();
    json["seconds_waiting_for_data"] = m.seconds_waiting_for_data;
    return json;
}

Json to_json(const EvalMetrics& m) {
    Json json = {{"step", m.step}, {"time", m.time}, {"eval_loss", m.eval_loss}, {"eval_accuracy", m.eval_accuracy}};
    if (m.pairs) {
        json["eval_nsp_loss"] = m.pairs->loss;
        json["eval_nsp_accuracy"] = m.pairs->accuracy;
    }
    json["eval_seconds"] = m.eval_seconds;
    return json;
}

/// Where each metric stands in TensorBoard: curves of a kind side by side, speeds apart.
std::vector<EventFile::Scalar> scalars(const StepMetrics& m) {
    std::vector<EventFile::Scalar> values = {{"train/loss", m.loss},
                                             {"train/mlm_accuracy", m.mlm_accuracy},
                                             {"train/lr", m.lr},
                                             {"train/grad_norm", m.grad_norm},
                                             {"speed/sequences_per_second", m.sequences_per_second},
                                             {"speed/tokens_per_second", m.tokens_per_second},
                                             {"speed/seconds_waiting_for_data", m.seconds_waiting_for_data}};
    if (m.mfu) values.emplace_back("speed/mfu", *m.mfu);
    for (const auto& [name, value] : m.extras) values.emplace_back("train/" + name, value);
    return values;
}

std::vector<EventFile::Scalar> scalars(const EvalMetrics& m) {
    std::vector<EventFile::Scalar> values = {{"eval/loss", m.eval_loss}, {"eval/accuracy", m.eval_accuracy}};
    if (m.pairs)
        values.insert(values.end(), {{"eval/nsp_loss", m.pairs->loss}, {"eval/nsp_accuracy", m.pairs->accuracy}});
    return values;
}

template <typename Metrics>
MetricsLine line_of(const Metrics& m) {
    return {.step = m.step, .time = m.time, .json = to_json(m).dump(), .scalars = scalars(m)};
}

}  // namespace

StepMetrics step_metrics(const RunPlan& plan, const StepOutcome& last, const NamedNumbers& interval,
                         const TrainingSpeed& speed) {
    const int64_t step = last.settings.step, batch = plan.config.train.batch, sequence = plan.config.data.sequence;
    const double count = interval["count"], rate = speed.steps_per_second * static_cast<double>(batch);
    StepMetrics m{.step = step,
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
    if (last.loss_scale) m.extras["loss_scale"] = *last.loss_scale;
    for (const auto& [name, value] : plan.method->metrics(step, interval)) m.extras[name] = value;
    return m;
}

StepMetrics::operator MetricsLine() const { return line_of(*this); }

EvalMetrics::operator MetricsLine() const { return line_of(*this); }

}  // namespace dropforge
