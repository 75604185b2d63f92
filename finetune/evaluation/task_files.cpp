#include "finetune/evaluation/task_files.h"

#include <algorithm>

#include "base/error.h"
#include "data/tasks/labels.h"
#include "finetune/evaluation/held_out.h"
#include "finetune/evaluation/task_batch.h"

namespace dropforge {

namespace {

tasks::ExampleFile read(const TaskChoice& choice, const fs::path& path, const FinetuneConfig& config, bool training) {
    return tasks::read_examples(
        tasks::find_task(choice.name), path,
        {.columns = choice.columns, .skip_bad_lines = config.data.bad_lines == BadLines::skip, .training = training});
}

/// Gives the file its classes and its items.
TaskData completed(const tasks::Task& task, const std::vector<std::string>& labels, tasks::ExampleFile file,
                   const FinetuneConfig& config, const ModelFolder& model) {
    tasks::index_labels(task, labels, file);
    TaskData data{.task = task, .labels = labels, .file = std::move(file)};
    data.items = tasks::make_items(task, data.file, model.tokenizer.vocabulary, model.tokenizer.normalization,
                                   {.max_length = task_length({task.name}, config, model.config),
                                    .doc_stride = config.data.doc_stride,
                                    .max_question = config.data.max_question});
    require(!data.items.items.empty(), "{}: no example", data.file.path);
    return data;
}

}  // namespace

int64_t task_length(const TaskChoice& choice, const FinetuneConfig& config, const BertConfig& model) {
    const int64_t wanted = config.data.max_length > 0 ? config.data.max_length : tasks::find_task(choice.name).length;
    return std::min(wanted, model.max_positions);
}

TaskFiles read_task_files(const TaskChoice& choice, const fs::path& training, const fs::path& evaluated,
                          const FinetuneConfig& config, const ModelFolder& model) {
    tasks::ExampleFile to_train = read(choice, training, config, true),
                       to_evaluate = read(choice, evaluated, config, false);
    const tasks::Task& task = tasks::resolve(tasks::find_task(choice.name), to_evaluate);
    const std::vector<std::string> labels = tasks::choose_labels(task, choice.labels, model.labels, &to_train);
    TaskFiles files{completed(task, labels, std::move(to_train), config, model),
                    completed(task, labels, std::move(to_evaluate), config, model)};
    const int64_t choices = sequences_per_item(files.training), others = sequences_per_item(files.evaluated);
    require(choices == others, "{}: {} choices, {} has {}", evaluated.string(), others, training.string(), choices);
    return files;
}

TaskFiles read_held_out(const TaskChoice& choice, const fs::path& training, const FinetuneConfig& config,
                        const ModelFolder& model, int64_t seed) {
    tasks::ExampleFile file = read(choice, training, config, true);
    const tasks::Task& task = tasks::resolve(tasks::find_task(choice.name), file);
    const std::vector<std::string> labels = tasks::choose_labels(task, choice.labels, model.labels, &file);
    tasks::index_labels(task, labels, file);
    HeldOut parts = hold_out(std::move(file), seed);
    return {completed(task, labels, std::move(parts.training), config, model),
            completed(task, labels, std::move(parts.held_out), config, model)};
}

TaskData read_task_file(const TaskChoice& choice, const fs::path& evaluated, const FinetuneConfig& config,
                        const ModelFolder& model) {
    tasks::ExampleFile file = read(choice, evaluated, config, false);
    const tasks::Task& task = tasks::resolve(tasks::find_task(choice.name), file);
    return completed(task, tasks::choose_labels(task, choice.labels, model.labels, nullptr), std::move(file), config,
                     model);
}

int64_t head_columns(const TaskData& data) {
    return data.task.kind == tasks::Kind::choice ? sequences_per_item(data) : std::ssize(data.labels);
}

std::vector<std::string> notes_on(const TaskData& data, int64_t max_length) {
    std::vector<std::string> notes;
    if (data.items.truncated > 0)
        notes.push_back(fmt::format("{}: {} of {} examples are longer than {} pieces and were cut", data.file.path,
                                    data.items.truncated, data.file.examples.size(), max_length));
    if (data.file.skipped > 0)
        notes.push_back(fmt::format("{}: {} lines or questions were left out", data.file.path, data.file.skipped));
    return notes;
}

}  // namespace dropforge
