// dropforge evaluate: MLM loss, perplexity and accuracy on validation shards, with fixed masks.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "apps/task_options.h"
#include "apps/task_scores.h"
#include "base/command_line.h"
#include "base/error.h"
#include "base/json.h"
#include "devices/choice/choose_device.h"
#include "finetune/evaluation/evaluate_task.h"
#include "model/checkpoint/huggingface.h"
#include "model/checkpoint/manifest.h"
#include "model/checkpoint/tokenizer_files.h"
#include "model/run/trained_by.h"
#include "model/training/evaluation.h"

namespace dropforge {

namespace {

struct Options {
    fs::path model, data;
    int64_t sequence = 128, batch = 32, sequences = 0;
    DType dtype = DType::f32;
    std::string device = "auto";
    bool tf32 = false;
    data::Pairs pairs = data::Pairs::none;
    TaskChoice task;
    fs::path evaluated, out;
    std::vector<std::string> settings;
};

/// Of --task: the model's head for it, on a file.
void evaluate_on_task(const Options& o, const CommonOptions& common) {
    EvaluateTaskOptions options;
    options.model = o.model;
    options.evaluated = o.evaluated;
    options.out = o.out;
    options.task = o.task;
    options.dtype = o.dtype;
    options.device = choose_device(o.device);
    if (o.tf32) options.device = with_tf32(std::move(options.device), o.dtype);
    std::vector<Setting> settings;
    for (const std::string& text : o.settings) settings.push_back(Setting::parse(text));
    options.config.set(settings);
    const EvaluatedTask result = evaluate_task(options);
    print_notes(result.notes, common);
    const TaskEvaluation& e = result.evaluation;
    print_scores({.task = o.task.name,
                  .examples = result.data.file.examples.size(),
                  .main = e.main,
                  .metrics = e.metrics,
                  .loss = e.loss},
                 common.json);
}

void evaluate(const Options& o, const CommonOptions& common) {
    require_intact(o.model);
    const Model model = load_model(o.model);
    const BertConfig& config = model.parameters.config();
    require_mlm_head(model, o.model);
    require(o.pairs == data::Pairs::none || model.parameters.heads().has(nsp_head()),
            "{}: the model has no NSP head, which --pairs measures", o.model.string());
    require(o.sequence <= config.max_positions, "--sequence {}: the model has {} positions", o.sequence,
            config.max_positions);
    const data::Dataset dataset(o.data, data::Split::validation);
    const auto vocabulary = data::Vocabulary::load(dataset.vocabulary_path());
    print_notes(require_same_tokenizer(o.model, o.data, vocabulary, dataset.normalization()), common);
    print_notes(notes_on(model, o.model), common);
    const int64_t masked = std::max<int64_t>(1, std::lround(0.15 * static_cast<double>(o.sequence)));
    BertConfig with_ids = config;  // a checkpoint's config.json may lack them
    with_ids.special = vocabulary.special();
    const EvaluationOptions options{.batch = o.batch,
                                    .sequence = o.sequence,
                                    .max_predictions = masked,
                                    .pairs = o.pairs,
                                    .sequences = o.sequences,
                                    .dtype = o.dtype,
                                    .method = trained_by(o.model, with_ids, o.sequence, masked)};
    Evaluator evaluator(model.parameters, dataset, vocabulary.special(), options);
    Device device = choose_device(o.device);
    require_computes(device, o.dtype);
    if (o.tf32) device = with_tf32(std::move(device), o.dtype);
    ForwardPass pass(model.parameters, Evaluator::program(model.parameters, options), model.values.as<float>(), o.dtype,
                     *device.kernels, options.method.get());
    const EvaluationResult r = evaluator.run(pass);
    if (common.json) {
        nlohmann::ordered_json json = {{"mlm_loss", r.loss},
                                       {"perplexity", std::exp(r.loss)},
                                       {"mlm_accuracy", r.accuracy},
                                       {"masked", r.masked},
                                       {"sequences", r.sequences},
                                       {"sequence", o.sequence},
                                       {"unigram_entropy", dataset.unigram_entropy()},
                                       {"top_token_share", dataset.top_token_share()}};
        if (r.pairs) {
            json["nsp_loss"] = r.pairs->loss;
            json["nsp_accuracy"] = r.pairs->accuracy;
        }
        fmt::print("{}\n", json_text(json));
        return;
    }
    fmt::print("MLM loss      {:.4f} nats (unigram {:.4f})\n", r.loss, dataset.unigram_entropy());
    fmt::print("perplexity    {:.2f}\n", std::exp(r.loss));
    fmt::print("MLM accuracy  {:.2f} % (always the most frequent token: {:.2f} %)\n", 100 * r.accuracy,
               100 * dataset.top_token_share());
    if (r.pairs)
        fmt::print("pairs         loss {:.4f} nats, accuracy {:.2f} %\n", r.pairs->loss, 100 * r.pairs->accuracy);
    fmt::print("on            {} masked positions of {} sequences of {} tokens\n", r.masked, r.sequences, o.sequence);
}

}  // namespace

void add_evaluate(CLI::App& app, CommonOptions& common) {
    auto* command =
        app.add_subcommand("evaluate",
                           "Measure a model: MLM loss and accuracy on validation data, or its head for a task\n\n"
                           "Masks are the same in every evaluation. No token is dropped, whatever the method that the "
                           "model was trained with; a model of "
                           "mask_later leaves [MASK]\n"
                           "out of its first layers, as in training. The data must have the model's vocabulary.");
    auto options = std::make_shared<Options>();
    command->add_option("--model", options->model, "A checkpoint, or any BERT in Hugging Face's format")
        ->required()
        ->type_name("FOLDER");
    CLI::Option* data = command->add_option("--data", options->data, "A data folder of `dropforge prepare`");
    data->type_name("FOLDER");
    command->add_option("--sequence", options->sequence, "Tokens in a sequence")
        ->transform(whole_number<int64_t>(3, 1 << 16))
        ->capture_default_str();
    command->add_option("--batch", options->batch, "Sequences computed at a time")
        ->transform(whole_number<int64_t>(1, 1 << 16))
        ->capture_default_str();
    command->add_option("--sequences", options->sequences, "Evaluate at most this many sequences; 0: all")
        ->transform(whole_number<int64_t>(0));
    add_choice(*command, "--pairs", options->pairs, data::kPairsNames,
               "Evaluate on sentence pairs instead of packed sequences, and the model's NSP head too");
    add_choice(*command, "--precision", options->dtype, kPrecisionNames, "Precision of weights and activations");
    add_device(*command, options->device);
    add_tf32(*command, options->tf32);
    command->option_defaults()->group("Of a task");
    CLI::Option* task = add_task_options(*command, options->task);
    CLI::Option* evaluated =
        command->add_option("--eval", options->evaluated, "The file to evaluate on, in the task's format");
    evaluated->type_name("FILE")->needs(task);
    task->needs(evaluated)->excludes(data);
    command->add_option("--out", options->out, "A new folder for predictions and logits")
        ->type_name("FOLDER")
        ->needs(task);
    command->add_option("--set", options->settings, "Set a key of data or eval, such as data.max_length=256")
        ->expected(1)
        ->take_all()
        ->type_name("KEY=VALUE")
        ->needs(task);
    command->option_defaults()->group("Options");
    add_common(*command, common);
    command->footer(
        "Examples:\n"
        "  dropforge evaluate --model runs/demo/checkpoints/step-00001000 --data data\n"
        "  dropforge evaluate --model bert-base-uncased/ --data data --sequence 512 --sequences 1000 --json\n"
        "  dropforge evaluate --model mrpc/checkpoint --task mrpc --eval msr_paraphrase_test.txt --out mrpc/test");
    command->callback([options, &common] {
        use_threads(common);
        if (!options->task.name.empty()) return evaluate_on_task(*options, common);
        if (options->data.empty()) throw CLI::RequiredError("--data or --task");
        evaluate(*options, common);
    });
}

}  // namespace dropforge
