// dropforge finetune: trains a model on a task.
#include "finetune/finetuning.h"

#include <fmt/format.h>

#include "apps/commands.h"
#include "apps/task_options.h"
#include "base/command_line.h"
#include "base/revision.h"
#include "devices/choice/choose_device.h"

namespace dropforge {

namespace {

struct Options {
    FinetuneOptions run;
    std::vector<std::string> settings;
    std::string device = "auto", precision;
    std::optional<int64_t> seed;
};

std::vector<Setting> settings_of(const Options& o) {
    std::vector<Setting> settings;
    for (const std::string& text : o.settings) settings.push_back(Setting::parse(text));
    if (!o.precision.empty()) settings.push_back({"train.precision", o.precision, "--precision"});
    if (o.seed) settings.push_back({"train.seed", std::to_string(*o.seed), "--seed"});
    return settings;
}

std::string percent(std::optional<double> value) { return value ? fmt::format("{:.2f}", 100 * *value) : "not defined"; }

void print(const FinetuneResult& result, const fs::path& out) {
    for (const SeedResult& seed : result.seeds) {
        const EpochResult& best = seed.best();
        fmt::print("seed {:<6}  epoch {}  main {}", seed.seed, best.epoch, percent(best.main));
        for (const auto& [name, value] : best.metrics) fmt::print("  {} {}", name, percent(value));
        fmt::print("  {:.1f} examples/s\n", seed.examples_per_second);
    }
    fmt::print("result:      {}\n", (out / "result.json").string());
}

void run(Options& o, const CommonOptions& common) {
    o.run.config.set(settings_of(o));
    o.run.device = choose_device(o.device);
    o.run.quiet = common.quiet;
    o.run.revision = kRevision;
    const FinetuneResult result = finetune(o.run);
    if (common.json)
        fmt::print("{}", result.to_json());
    else
        print(result, o.run.out);
}

}  // namespace

void add_finetune(CLI::App& app, CommonOptions& common) {
    auto* command = app.add_subcommand(
        "finetune",
        "Train a model on a task, and measure it\n\n"
        "Begins with any BERT checkpoint in Hugging Face's format, with or without heads. Evaluates after every epoch\n"
        "and keeps the best: its model (checkpoint/, which transformers opens), predictions and logits, and\n"
        "result.json. The same command again goes on where a run was stopped, with the same bits.");
    auto options = std::make_shared<Options>();
    command->add_option("--model", options->run.model, "A checkpoint, or any BERT in Hugging Face's format")
        ->required()
        ->type_name("FOLDER");
    add_task_options(*command, options->run.task)->required();
    command->add_option("--train", options->run.training, "The file to train on")->required()->type_name("FILE");
    command->add_option("--eval", options->run.evaluated, "The file to evaluate on after every epoch")
        ->required()
        ->type_name("FILE");
    command->add_option("--out", options->run.out, "The folder of the run, which is created")
        ->required()
        ->type_name("FOLDER");
    command
        ->add_option_function<int64_t>(
            "--seed", [options](int64_t seed) { options->seed = seed; },
            "Seed of new weights, order of the examples and dropout (default: 1)")
        ->type_name("N");
    command->add_option("--seeds", options->run.seeds, "Runs, each with the next seed")
        ->transform(whole_number<int64_t>(1, 1000))
        ->capture_default_str();
    command
        ->add_option("--set", options->settings,
                     "Set any key of the configuration, such as train.lr=3e-5; may be repeated")
        ->expected(1)
        ->take_all()
        ->type_name("KEY=VALUE");
    command
        ->add_option("--precision", options->precision,
                     "auto, bf16, fp16 or f32; auto is the fastest that the device supports")
        ->type_name("PRECISION");
    add_device(*command, options->device);
    add_common(*command, common);
    command->footer(
        "Examples:\n"
        "  dropforge finetune --model bert-base-uncased/ --task mrpc --train msr_train.tsv --eval msr_test.tsv --out "
        "mrpc\n"
        "  dropforge finetune --model runs/demo/checkpoints/step-00001000 --task single --train train.tsv \\\n"
        "      --eval dev.tsv --out mine --seeds 5 --set train.epochs=10");
    command->callback([options, &common] {
        use_threads(common);
        run(*options, common);
    });
}

}  // namespace dropforge
