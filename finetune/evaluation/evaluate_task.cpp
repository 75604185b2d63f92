#include "finetune/evaluation/evaluate_task.h"

#include <algorithm>

#include "base/error.h"
#include "finetune/evaluation/evaluation_files.h"
#include "finetune/evaluation/task_batch.h"
#include "finetune/evaluation/task_predictor.h"
#include "model/checkpoint/huggingface.h"

namespace dropforge {

EvaluatedTask evaluate_task(const EvaluateTaskOptions& o) {
    require(o.out.empty() || !fs::exists(o.out), "{} is there already: choose another --out", o.out.string());
    require_computes(o.device, o.dtype);
    const ModelFolder model = ModelFolder::open(o.model);
    EvaluatedTask result{.data = read_task_file(o.task, o.evaluated, o.config, model), .evaluation = {}};
    const int64_t length = task_length(o.task, o.config, model.config);
    result.notes = notes_on(result.data, length);
    const TaskHeadPointer head = task_head(result.data.task, head_columns(result.data), 0);
    const Parameters parameters(model.config, {head});
    const Buffer values(parameters.size() * static_cast<int64_t>(sizeof(float)));
    const std::vector<std::string> missing = load_encoder(o.model, parameters, values.as<float>());
    require(missing.empty(), "{}: no head for {}: the tensor {} is missing or has another shape", o.model.string(),
            o.task.name, missing.empty() ? "" : missing.front());
    TaskPredictor predictor(parameters, head,
                            {.batch = std::min(o.config.eval.batch, std::ssize(result.data.items.items)),
                             .sequences = sequences_per_item(result.data),
                             .max_length = length,
                             .pad = model.config.special->pad,
                             .dtype = o.dtype},
                            values.as<float>(), *o.device.kernels);
    const TaskLogits logits = predictor.run(result.data);
    result.evaluation = evaluate(
        result.data, logits, {.max_answer = o.config.data.max_answer, .null_threshold = o.config.eval.null_threshold});
    if (o.out.empty()) return result;
    fs::create_directories(o.out);
    write_predictions(o.out, result.data, result.evaluation);
    write_logits(o.out / "eval.safetensors", result.data, logits);
    return result;
}

}  // namespace dropforge
