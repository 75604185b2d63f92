#include "finetune/evaluation/predict_task.h"

#include "base/error.h"
#include "data/tasks/unlabelled.h"
#include "finetune/evaluation/finetuned_model.h"
#include "finetune/evaluation/task_files.h"

namespace dropforge {

namespace {

using tasks::Kind;

const tasks::Task& task_of(Kind kind, const tasks::ExampleFile& file) {
    switch (kind) {
        case Kind::single:
        case Kind::pair:
            return tasks::find_task(file.examples[0].b ? "pair" : "single");
        case Kind::regression:
            return tasks::find_task("regression");
        case Kind::choice:
            return tasks::find_task("choice");
        case Kind::token:
            return tasks::find_task("token");
        case Kind::span:
            break;
    }
    return tasks::find_task("squad2");
}

/// Reads the text as examples of the model's task.
TaskData read(const PredictTaskOptions& o, const ModelFolder& model) {
    TrainedHead head = trained_head(model);
    tasks::ExampleFile file = tasks::read_unlabelled(head.kind, o.text);
    require(!file.examples.empty(), "{}: no question", file.path);
    const tasks::Task& task = task_of(head.kind, file);
    TaskData data{.task = task, .labels = std::move(head.labels), .file = std::move(file)};
    data.items = tasks::make_items(task, data.file, model.tokenizer.vocabulary, model.tokenizer.normalization,
                                   {.max_length = task_length({task.name}, o.config, model.config),
                                    .doc_stride = o.config.data.doc_stride,
                                    .max_question = o.config.data.max_question});
    return data;
}

}  // namespace

PredictedTask predict_task(const PredictTaskOptions& o) {
    const ModelFolder model = ModelFolder::open(o.model);
    TaskData data = read(o, model);
    const int64_t length = task_length({data.task.name}, o.config, model.config);
    TaskLogits logits =
        logits_of(model, data, {.batch = o.config.eval.batch, .max_length = length, .dtype = o.dtype}, o.device);
    TaskPredictions predictions =
        predict(data, logits, {.max_answer = o.config.data.max_answer, .null_threshold = o.null_threshold});
    std::vector<std::string> notes = model.tokenizer.notes;
    for (std::string& note : notes_on(data, length)) notes.push_back(std::move(note));
    return {std::move(data), std::move(logits), std::move(predictions), std::move(notes)};
}

}  // namespace dropforge
