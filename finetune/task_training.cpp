#include "finetune/task_training.h"

#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_object.h"
#include "data/tasks/metrics/metrics_json.h"
#include "engine/safetensors.h"
#include "finetune/batch_order.h"
#include "finetune/evaluation/evaluation_files.h"
#include "finetune/evaluation/task_batch.h"
#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/huggingface.h"
#include "model/run/meter.h"

namespace dropforge {

namespace {

constexpr const char *kFile = "trainer.safetensors", *kState = "state", *kFormat = "format_version", *kVersion = "1";
constexpr int64_t kWarmUpSteps = 2;  // of a process, which pages memory in: not timed

}  // namespace

TaskTraining::TaskTraining(const FinetuneOptions& options, const FinetunePlan& plan, const fs::path& out,
                           ProgressLine& line)
    : options_(options),
      plan_(plan),
      out_(out),
      line_(line),
      step_(plan.parameters, plan.head, plan.step, *options.device.kernels,
            TaskPredictor::arena_bytes(plan.parameters, plan.head, plan.predictor)),
      predictor_(plan.parameters, plan.head, plan.predictor, step_.resources()),
      labeller_(plan.files.training, plan.config.train.class_weights),
      schedule_(plan.config.train.learning_rate(plan.steps())),
      lengths_(lengths_of(plan.files.training.items)) {}

void TaskTraining::initialize() {
    plan_.parameters.initialize(step_.states().values(), static_cast<uint64_t>(plan_.config.train.seed));
    const auto missing = load_encoder(plan_.model.path, plan_.parameters, step_.states().values());
    if (!missing.empty())
        line_.note(fmt::format("{}: new weights for {}", plan_.model.path.string(), fmt::join(missing, ", ")));
    step_.store_states();
}

int64_t TaskTraining::restore(const fs::path& checkpoint) {
    load_encoder(checkpoint, plan_.parameters, step_.states().values());
    const SafetensorsFile file(checkpoint / kFile);
    const auto value = [&](const char* key) {
        const auto found = file.metadata().find(key);
        require(found != file.metadata().end(), "{}: the metadata lacks {}", file.path().string(), key);
        return found->second;
    };
    require(value(kFormat) == kVersion, "{}: a file of format {}, this version reads {}", file.path().string(),
            value(kFormat), kVersion);
    read_state(value(kState), file.path().string());
    read_optimizer_states(file, plan_.parameters, state_.step, step_.states());
    step_.store_states();
    return state_.step;
}

void TaskTraining::save(const fs::path& folder) {
    step_.fetch_states();
    save_task_model(folder, plan_.task(), plan_.labels(), plan_.parameters, step_.states().values(), plan_.model,
                    plan_.classifier_dropout);
    SafetensorsWriter writer;
    writer.metadata(kFormat, kVersion);
    writer.metadata(kState, state_text());
    writer.metadata("revision", options_.revision);
    add_optimizer_states(writer, plan_.parameters, step_.states());
    writer.write(folder / kFile);
}

const std::vector<size_t>& TaskTraining::batch_of(int64_t step) {
    if (const int64_t epoch = epoch_of(step); epoch != epoch_) {
        epoch_ = epoch;
        batches_ = epoch_batches(lengths_, {.seed = plan_.config.train.seed,
                                            .epoch = epoch,
                                            .batch = plan_.config.train.batch,
                                            .bucket = plan_.config.data.bucket,
                                            .shuffle = plan_.config.data.shuffle});
    }
    return batches_[static_cast<size_t>((step - 1) % plan_.steps_per_epoch())];
}

void TaskTraining::queue(int64_t step) {
    const double began = monotonic_seconds();
    int64_t longest = 0;
    const std::vector<size_t>& batch = batch_of(step);
    items_.clear();
    for (const size_t i : batch) {
        items_.push_back(&plan_.files.training.items.items[i]);
        longest = std::max(longest, lengths_[i]);
    }
    step_.queue(labeller_, items_, plan_.bucket_of(longest), plan_.model.config.special->pad,
                {.step = step, .learning_rate = schedule_.at(step)});
    in_flight_.push_back({began, batch.size(), plan_.config.log.examples ? batch : std::vector<size_t>()});
}

/// Counts the time of a step: from when it was queued, or from when the one before it was done.
void TaskTraining::measure(double began, size_t items) {
    const double now = monotonic_seconds();
    if (++timed_ > kWarmUpSteps) {
        state_.seconds += now - std::max(began, last_collected_);
        state_.items += static_cast<int64_t>(items);
    }
    last_collected_ = now;
}

StepOutcome TaskTraining::collect() {
    last_ = step_.collect();
    const InFlight done = std::move(in_flight_.front());
    in_flight_.erase(in_flight_.begin());
    measure(done.began, done.items);
    state_.step = last_.settings.step;
    state_.loss += last_.result.loss;
    state_.steps += 1;
    state_.examples.insert(state_.examples.end(), done.examples.begin(), done.examples.end());
    return last_;
}

StepProgress TaskTraining::progress(const TrainingSpeed& speed) const {
    return {.loss = state_.loss / static_cast<double>(state_.steps),
            .lr = last_.settings.learning_rate,
            .sequences_per_second = speed.steps_per_second * static_cast<double>(plan_.step.batch)};
}

MetricsLine TaskTraining::end_interval(const TrainingSpeed& speed) {
    const double time = unix_seconds();
    const double loss = state_.loss / static_cast<double>(state_.steps);
    nlohmann::ordered_json json = {
        {"step", state_.step},
        {"epoch", epoch_of(state_.step)},
        {"loss", loss},
        {"lr", last_.settings.learning_rate},
        {"grad_norm", last_.gradient_norm},
        {"examples_per_second", speed.steps_per_second * static_cast<double>(plan_.step.batch)},
        {"time", time}};
    if (last_.loss_scale) json["loss_scale"] = *last_.loss_scale;
    if (plan_.config.log.examples) json["examples"] = state_.examples;
    state_.loss = 0;
    state_.steps = 0;
    state_.examples.clear();
    return {.step = state_.step, .time = time, .json = json.dump()};
}

TaskEvaluation TaskTraining::evaluation_of(const TaskLogits& logits) const {
    try {
        return dropforge::evaluate(plan_.files.evaluated, logits, plan_.scoring());
    } catch (const Error& error) {
        throw Error("after step {}: {}", state_.step, error.what());
    }
}

void TaskTraining::evaluate(MetricsLog& log) {
    remove_other_epochs();
    const TaskLogits logits = predictor_.run(plan_.files.evaluated);
    const TaskEvaluation e = evaluation_of(logits);
    state_.epochs.push_back(
        {.epoch = epoch_of(state_.step), .step = state_.step, .loss = e.loss, .main = e.main, .metrics = e.metrics});
    if (kept() == std::ssize(state_.epochs)) write_epoch(e, logits);

    nlohmann::ordered_json json = {{"step", state_.step}, {"epoch", epoch_of(state_.step)}};
    std::string text = fmt::format("epoch {}  step {}", epoch_of(state_.step), state_.step);
    const auto add = [&](const std::string& name, std::optional<double> value) {
        json["eval_" + name] = tasks::json_of(value);
        text += value ? fmt::format("  {} {:.4f}", name, *value) : fmt::format("  {} not defined", name);
    };
    if (e.loss) add("loss", e.loss);
    for (const auto& [name, value] : e.metrics) add(name, value);
    const double time = unix_seconds();
    json["time"] = time;
    log.write({.step = state_.step, .time = time, .json = json.dump()});
    line_.note(text);
}

/// Of the epoch that was evaluated last, whose weights the step still has.
void TaskTraining::write_epoch(const TaskEvaluation& evaluation, const TaskLogits& logits) {
    const fs::path folder = folder_of(std::ssize(state_.epochs));
    fs::remove_all(folder);
    fs::create_directories(folder / "checkpoint");
    step_.fetch_states();
    save_task_model(folder / "checkpoint", plan_.task(), plan_.labels(), plan_.parameters, step_.states().values(),
                    plan_.model, plan_.classifier_dropout);
    write_predictions(folder, plan_.files.evaluated, evaluation);
    write_logits(folder / "eval.safetensors", plan_.files.evaluated, logits);
}

/// Folders of epochs that no checkpoint will ask for: the last checkpoint, to which a killed run goes back, keeps the
/// epoch that is kept now.
void TaskTraining::remove_other_epochs() const {
    std::vector<fs::path> others;
    for (const auto& entry : fs::directory_iterator(out_)) {
        const std::string name = entry.path().filename().string();
        if (name.starts_with(".epoch-") && (state_.epochs.empty() || entry.path() != folder_of(kept())))
            others.push_back(entry.path());
    }
    for (const fs::path& folder : others) fs::remove_all(folder);
}

void TaskTraining::publish() const {
    const fs::path folder = folder_of(kept());
    std::vector<fs::path> files;
    if (fs::exists(folder))
        for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
    for (const fs::path& file : files) {
        const fs::path to = out_ / file.filename();
        fs::remove_all(to);
        fs::rename(file, to);
    }
    for (int64_t epoch = 1; epoch <= std::ssize(state_.epochs); ++epoch) fs::remove_all(folder_of(epoch));
}

SeedResult TaskTraining::result() const {
    return {.seed = plan_.config.train.seed,
            .steps = state_.step,
            .examples_per_second = state_.seconds > 0 ? static_cast<double>(state_.items) / state_.seconds : 0,
            .best_epoch = kept(),
            .epochs = state_.epochs};
}

std::string TaskTraining::state_text() const {
    nlohmann::ordered_json epochs = nlohmann::ordered_json::array();
    for (const EpochResult& e : state_.epochs) {
        nlohmann::ordered_json metrics = nlohmann::ordered_json::array();
        for (const auto& [name, value] : e.metrics)  // a list, since readers of objects sort their keys
            metrics.push_back({{"name", name}, {"value", tasks::json_of(value)}});
        epochs.push_back({{"epoch", e.epoch},
                          {"step", e.step},
                          {"loss", tasks::json_of(e.loss)},
                          {"main", tasks::json_of(e.main)},
                          {"metrics", metrics}});
    }
    return nlohmann::ordered_json{{"step", state_.step}, {"seconds", state_.seconds}, {"items", state_.items},
                                  {"loss", state_.loss}, {"steps", state_.steps},     {"examples", state_.examples},
                                  {"epochs", epochs}}
        .dump();
}

void TaskTraining::read_state(const std::string& text, const std::string& where) {
    const JsonObject json(text, where);
    const auto number = [](const JsonObject& of, const char* key) {
        return of.has(key) ? std::optional(of.number(key)) : std::nullopt;
    };
    state_ = {.step = json.integer("step"),
              .seconds = json.number("seconds"),
              .items = json.integer("items"),
              .loss = json.number("loss"),
              .steps = json.integer("steps"),
              .examples = json.value("examples").get<std::vector<size_t>>()};
    for (const JsonObject& e : json.objects("epochs")) {
        EpochResult epoch{.epoch = e.integer("epoch"),
                          .step = e.integer("step"),
                          .loss = number(e, "loss"),
                          .main = number(e, "main")};
        for (const JsonObject& m : e.objects("metrics")) epoch.metrics.emplace_back(m.text("name"), number(m, "value"));
        state_.epochs.push_back(std::move(epoch));
    }
}

}  // namespace dropforge
