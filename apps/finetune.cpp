// dropforge finetune: trains a model on a task.
#include "finetune/suite.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/commands.h"
#include "apps/task_options.h"
#include "base/command_line.h"
#include "base/error.h"
#include "base/revision.h"
#include "devices/choice/choose_device.h"

namespace dropforge {

namespace {

struct Options {
    FinetuneOptions run;
    std::vector<std::string> settings;
    std::string device = "auto", precision, suite;
    fs::path data;
    std::optional<int64_t> seed;
};

std::vector<Setting> settings_of(const Options& o) {
    std::vector<Setting> settings;
    for (const std::string& text : o.settings) settings.push_back(Setting::parse(text));
    if (!o.precision.empty()) settings.push_back({"train.precision", o.precision, "--precision"});
    if (o.seed) settings.push_back({"train.seed", std::to_string(*o.seed), "--seed"});
    return settings;
}

std::string shown(std::optional<double> value) { return value ? fmt::format("{:.4f}", *value) : "not defined"; }

void print(const FinetuneResult& result, const fs::path& out) {
    for (const SeedResult& seed : result.seeds) {
        const EpochResult& best = seed.best();
        fmt::print("seed {:<6}  epoch {}  main {}", seed.seed, best.epoch, shown(best.main));
        for (const auto& [name, value] : best.metrics) fmt::print("  {} {}", name, shown(value));
        fmt::print("  {:.1f} examples/s\n", seed.examples_per_second);
    }
    fmt::print("result:      {}\n", (out / "result.json").string());
}

std::string percent(std::optional<double> value) { return value ? fmt::format("{:.2f}", 100 * *value) : "not defined"; }

void print(const SuiteResult& result, const fs::path& out) {
    const auto line = [](const std::string& name, const Spread& main, const std::string& error) {
        fmt::print("{:<12} {:>7}{}{}\n", name, percent(main.mean),
                   main.deviation ? fmt::format(" ± {:.2f}", 100 * *main.deviation) : "",
                   error.empty() ? "" : "  " + error);
    };
    for (const SuiteRow& row : result.rows) line(row.task, row.main, row.error);
    line("average", {.mean = result.average()}, "");
    fmt::print("result:      {}\n", (out / "suite.json").string());
}

/// All tasks of a suite. Throws Error when all have been tried, if one has no result.
void run_suite(const Options& o, const CommonOptions& common) {
    const SuiteResult result = finetune_suite(o.run, suite_tasks(o.suite, o.data));
    if (common.json)
        fmt::print("{}", result.to_json());
    else
        print(result, o.run.out);
    const auto failed = std::ranges::count_if(result.rows, [](const SuiteRow& row) { return !row.error.empty(); });
    require(failed == 0, "{} of {} tasks have no result: {}", failed, result.rows.size(),
            std::ranges::find_if(result.rows, [](const SuiteRow& row) { return !row.error.empty(); })->error);
}

/// Throws CLI's errors of usage.
void check_files(const Options& o) {
    if (!o.suite.empty()) {
        if (o.data.empty()) throw CLI::RequiredError("--data");
        return;
    }
    if (o.run.task.name.empty()) throw CLI::RequiredError("--task or --suite");
    if (o.run.training.empty()) throw CLI::RequiredError("--train");
    if (o.run.evaluated.empty()) throw CLI::RequiredError("--eval");
}

void run(Options& o, const CommonOptions& common) {
    check_files(o);
    o.run.config.set(settings_of(o));
    o.run.device = choose_device(o.device);
    o.run.quiet = common.quiet;
    o.run.revision = kRevision;
    if (!o.suite.empty()) return run_suite(o, common);
    const FinetuneResult result = finetune(o.run);
    if (common.json)
        fmt::print("{}", result.to_json());
    else
        print(result, o.run.out);
}

/// What is trained on what.
void add_files(CLI::App& command, Options& o) {
    command.add_option("--model", o.run.model, "A checkpoint, or any BERT in Hugging Face's format")
        ->required()
        ->type_name("FOLDER");
    CLI::Option* training = command.add_option("--train", o.run.training, "The file to train on");
    training->type_name("FILE");
    CLI::Option* evaluated = command.add_option("--eval", o.run.evaluated, "The file to evaluate on after every epoch");
    evaluated->type_name("FILE");
    command.add_option("--out", o.run.out, "The folder of the run, which is created")->required()->type_name("FOLDER");
    command.option_defaults()->group("Of the task");
    CLI::Option* task = add_task_options(command, o.run.task);
    CLI::Option* suite = command.add_option(
        "--suite", o.suite,
        "Instead of a task: glue, superglue or all, every task of it for which --data has a folder of its name");
    suite->type_name("SUITE")->excludes(task)->excludes(training)->excludes(evaluated);
    command.add_option("--data", o.data, "The folder of a suite's folders, with their official files")
        ->type_name("FOLDER")
        ->needs(suite);
}

void add_keys(CLI::App& command, Options& o) {
    command.option_defaults()->group("Configuration keys");
    command
        .add_option_function<int64_t>(
            "--seed", [&o](int64_t seed) { o.seed = seed; },
            "Seed of new weights, order of the examples and dropout (default: 1)")
        ->type_name("N");
    command
        .add_option("--precision", o.precision, "auto, bf16, fp16 or f32; auto is the fastest that the device supports")
        ->type_name("PRECISION");
    command
        .add_option("--set", o.settings,
                    "Set any key of the configuration, such as train.epochs=4 or train.lr=3e-5; may be repeated; "
                    "docs/finetuning.md lists them")
        ->expected(1)
        ->take_all()
        ->type_name("KEY=VALUE");
    command.option_defaults()->group("Options");
}

}  // namespace

void add_finetune(CLI::App& app, CommonOptions& common) {
    auto* command = app.add_subcommand(
        "finetune",
        "Train a model on a task, and measure it; or go on with a run that was stopped\n\n"
        "Begins with any BERT in Hugging Face's format, with or without heads. Tasks are those of GLUE and SuperGLUE,\n"
        "SQuAD, CoNLL, and your own texts with labels, numbers, choices or questions; docs/finetuning.md says what\n"
        "their files look like. Evaluates after every epoch and keeps the best. Writes a run folder: result.json with\n"
        "all metrics, checkpoint/, a model folder that transformers opens and `dropforge predict` takes, predictions\n"
        "and logits of the evaluated file, metrics.jsonl, and config.toml with every key; of several seeds each in\n"
        "seed-N; of a suite a folder for each task, and suite.json. The same command again goes on where a run was\n"
        "stopped, with the bits of one that was not. Ctrl-C ends a run after the current step. Prints the metrics of\n"
        "each seed as fractions; of a suite the main metric of each task, and their average, in per cent.");
    auto options = std::make_shared<Options>();
    add_files(*command, *options);
    add_keys(*command, *options);
    command->add_option("--seeds", options->run.seeds, "Train so many times, each with the next seed")
        ->transform(whole_number<int64_t>(1, 1000))
        ->capture_default_str();
    command
        ->add_option(
            "--grid", options->run.grid,
            "Settings to choose among, such as lr=2e-5,3e-5,batch=16,32: each is trained on nine tenths of the "
            "training file and measured on the others, then the best is trained on all of it")
        ->type_name("GRID");
    add_device(*command, options->device);
    add_common(*command, common);
    command->footer(
        "Examples:\n"
        "  dropforge finetune --model bert-base-uncased/ --task mrpc --train msr_train.tsv --eval msr_test.tsv \\\n"
        "      --out mrpc\n"
        "  dropforge finetune --model runs/demo/checkpoints/step-00001000 --task single --train train.tsv \\\n"
        "      --eval dev.tsv --out mine --seeds 5 --set train.epochs=10\n"
        "  dropforge finetune --model bert-base-uncased/ --task squad2 --train train-v2.0.json \\\n"
        "      --eval dev-v2.0.json --out squad2 --grid lr=3e-5,5e-5,batch=16,32\n"
        "  dropforge finetune --model bert-base-uncased/ --suite glue --data glue_data --out glue --seeds 5");
    command->callback([options, &common] {
        use_threads(common);
        run(*options, common);
    });
}

}  // namespace dropforge
