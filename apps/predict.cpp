// dropforge predict: what a fine-tuned model says of texts without labels.
#include <fmt/format.h>

#include "apps/commands.h"
#include "base/command_line.h"
#include "base/error.h"
#include "devices/choice/choose_device.h"
#include "finetune/evaluation/predict_task.h"
#include "finetune/evaluation/predictions_text.h"

namespace dropforge {

namespace {

struct Options {
    PredictTaskOptions run;
    fs::path out;
    std::vector<std::string> settings;  // --set
    std::vector<Setting> shorthands;    // of the options that stand for a key
    std::string device = "auto";
    bool tf32 = false;
};

void predict(Options& o, const CommonOptions& common) {
    require(o.out.empty() || !fs::exists(o.out), "{} is there already: choose another --out", o.out.string());
    std::vector<Setting> settings;
    for (const std::string& text : o.settings) settings.push_back(Setting::parse(text));
    settings.insert(settings.end(), o.shorthands.begin(), o.shorthands.end());
    o.run.config.set(settings);
    if (o.run.config.origins.contains("eval.null_threshold")) o.run.null_threshold = o.run.config.eval.null_threshold;
    o.run.device = choose_device(o.device);
    if (o.tf32) o.run.device = with_tf32(std::move(o.run.device), o.run.dtype);
    const PredictedTask predicted = predict_task(o.run);
    print_notes(predicted.notes, common);
    const std::string text = common.json ? predictions_json_lines(predicted) : predictions_text(predicted);
    if (o.out.empty())
        fmt::print("{}", text);
    else
        write_text(o.out, text);
}

/// Adds an option that stands for a key of the configuration.
void add_key(CLI::App& command, Options& o, const char* flag, const char* key, const char* type, const char* help) {
    command
        .add_option_function<std::string>(
            flag,
            [&o, flag, key](const std::string& value) {
                o.shorthands.push_back({.key = key, .value = value, .where = flag});
            },
            help)
        ->type_name(type);
}

void add_options(CLI::App& command, Options& o) {
    command.add_option("--model", o.run.model, "A checkpoint of `dropforge finetune`, or any fine-tuned BERT")
        ->required()
        ->type_name("FOLDER");
    command.add_option("--text", o.run.text, "A text in UTF-8, or SQuAD's JSON; - reads standard input")
        ->required()
        ->type_name("FILE");
    command.add_option("--out", o.out, "The file to write, instead of standard output")->type_name("FILE");
    add_key(command, o, "--batch", "eval.batch", "N", "Examples computed at a time (default: 32)");
    add_key(command, o, "--max-length", "data.max_length", "N",
            "Tokens of a sequence, [CLS] and [SEP] among them; what is longer is cut (default: 128; of questions 384)");
    add_key(command, o, "--null-threshold", "eval.null_threshold", "NUMBER",
            "Of questions: answer \"\" where the odds of that are larger, as 0 does for a model of SQuAD 2.0; by "
            "default every question is answered");
    command.add_option("--set", o.settings, "Set a key of data or eval, such as data.doc_stride=64")
        ->expected(1)
        ->take_all()
        ->type_name("KEY=VALUE");
    add_choice(command, "--precision", o.run.dtype, kPrecisionNames, "Precision of weights and activations");
    add_device(command, o.device);
    add_tf32(command, o.tf32);
}

}  // namespace

void add_predict(CLI::App& app, CommonOptions& common) {
    auto* command = app.add_subcommand(
        "predict",
        "Predict labels, numbers or answers for texts, with a fine-tuned model\n\n"
        "What the model's config.json says of its head decides how the text is read. One label a text, or a number: a\n"
        "line has a text, or two with a tab between. Multiple choice: a text and its choices, with tabs between.\n"
        "Tokens: a sentence a line, words between spaces. Questions: SQuAD's JSON, where answers may be missing.\n"
        "Prints, in the order of the text, a header and lines of the prediction and the probability of each label;\n"
        "for tokens lines of word, probability and label; for questions {id: answer}. With --json each example is a\n"
        "line with an object.");
    auto options = std::make_shared<Options>();
    add_options(*command, *options);
    add_common(*command, common);
    command->footer(
        "Examples:\n"
        "  dropforge predict --model mrpc/checkpoint --text pairs.tsv --out predictions.tsv\n"
        "  echo \"A film to see twice.\" | dropforge predict --model sst2/checkpoint --text - --json\n"
        "  dropforge predict --model squad2/checkpoint --text questions.json --null-threshold 0");
    command->callback([options, &common] {
        use_threads(common);
        predict(*options, common);
    });
}

}  // namespace dropforge
