#include "finetune/evaluation/evaluate_task.h"

#include "base/error.h"
#include "finetune/evaluation/evaluation_files.h"
#include "finetune/evaluation/finetuned_model.h"

namespace dropforge {

EvaluatedTask evaluate_task(const EvaluateTaskOptions& o) {
    require(o.out.empty() || !fs::exists(o.out), "{} is there already: choose another --out", o.out.string());
    const ModelFolder model = ModelFolder::open(o.model);
    EvaluatedTask result{.data = read_task_file(o.task, o.evaluated, o.config, model), .evaluation = {}};
    const int64_t length = task_length(o.task, o.config, model.config);
    result.notes = model.tokenizer.notes;
    for (std::string& note : notes_on(result.data, length)) result.notes.push_back(std::move(note));
    const TaskLogits logits =
        logits_of(model, result.data, {.batch = o.config.eval.batch, .max_length = length, .dtype = o.dtype}, o.device);
    result.evaluation = evaluate(
        result.data, logits, {.max_answer = o.config.data.max_answer, .null_threshold = o.config.eval.null_threshold});
    if (o.out.empty()) return result;
    fs::create_directories(o.out);
    write_predictions(o.out, result.data, result.evaluation);
    write_logits(o.out / "eval.safetensors", result.data, logits);
    return result;
}

}  // namespace dropforge
