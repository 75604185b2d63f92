// dropforge pretrain: a run from a configuration and a data folder to checkpoints that Hugging Face opens.
#include <fmt/format.h>

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <exception>
#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "base/command_line.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/revision.h"
#include "base/shell_word.h"
#include "devices/choice/choose_device.h"
#include "kernels/device_lost.h"
#include "model/methods/registry.h"
#include "model/run/pretraining.h"
#include "report/page.h"

namespace dropforge {

namespace {

struct Options {
    PretrainOptions run;
    bool dry_run = false;
    std::string config, device = "auto";
    std::vector<std::string> settings;          // --set
    std::map<std::string, Setting> shorthands;  // by key, of the options that stand for one
};

void add_shorthand(CLI::App& command, const std::shared_ptr<Options>& options, const std::string& flag, const char* key,
                   const char* type, const std::string& help) {
    command
        .add_option_function<std::string>(
            flag,
            [options, flag, key](const std::string& value) {
                options->shorthands[key] = {.key = key, .value = value, .where = flag};
            },
            help)
        ->type_name(type);
}

/// The settings of --set and of options that stand for keys, which must not contradict each other.
std::vector<Setting> settings(const Options& o) {
    std::vector<Setting> all;
    for (const std::string& assignment : o.settings) {
        const Setting setting = all.emplace_back(Setting::parse(assignment));
        const auto same = o.shorthands.find(setting.key);
        if (same == o.shorthands.end() || same->second.value == setting.value) continue;
        throw CLI::ValidationError(fmt::format("{} {}", same->second.where, same->second.value),
                                   fmt::format("contradicts --set {}", assignment));
    }
    for (const auto& [key, setting] : o.shorthands) all.push_back(setting);
    return all;
}

/// The command line that goes on where this one stopped: the same, but from the newest checkpoint.
std::string resume_command(const std::vector<std::string>& arguments) {
    std::string command;
    for (size_t i = 0; i < arguments.size(); ++i) {
        if (arguments[i] == "--resume")
            ++i;  // and its value
        else if (!arguments[i].starts_with("--resume="))
            command += shell_word(arguments[i]) + ' ';
    }
    return command + "--resume auto";
}

/// Parses --profile-steps A:B, which includes both.
void take_profile_steps(const std::string& text, PretrainOptions& options) {
    int64_t first = 0, last = 0;
    int end = 0;
    const bool numbers = std::sscanf(text.c_str(), "%" SCNd64 ":%" SCNd64 "%n", &first, &last, &end) == 2;
    if (!numbers || static_cast<size_t>(end) != text.size() || first < 1 || first > last)
        throw CLI::ValidationError("--profile-steps " + text, "must be FIRST:LAST with 1 <= FIRST <= LAST, like 20:22");
    options.profile_first = first;
    options.profile_last = last;
}

/// --dry-run: the report is the result.
void print_plan(const RunPlan& plan, const CommonOptions& common) {
    fmt::print("{}", common.json ? json_text(plan.json()) + '\n' : plan.text());
    plan.require_fit();
}

/// Of log.report. What hinders a report does not hinder the run: it is returned.
std::vector<std::string> write_report(const fs::path& run) {
    try {
        report::write_page(run / "report.html", {.runs = {run.string()}}, kRevision);
        return {};
    } catch (const std::exception& error) {
        return {fmt::format("no report: {}", error.what())};
    }
}

PretrainResult train(const PretrainOptions& options, const CommonOptions& common) {
    try {
        return pretrain(options);
    } catch (const Interrupted&) {
        if (!common.quiet) fmt::print(stderr, "go on with: {}\n", resume_command(common.command_line));
        throw;
    } catch (const kernels::DeviceLost& lost) {
        throw kernels::DeviceLost("{}; go on with: {}", lost.what(), resume_command(common.command_line));
    }
}

void run(Options& o, const CommonOptions& common) {
    if (o.run.out.empty() && !o.dry_run) throw CLI::RequiredError("--out");
    o.run.config = RunConfig::load(o.config);
    o.run.config.set(settings(o));
    o.run.device = choose_device(o.device);
    o.run.quiet = common.quiet;
    o.run.revision = kRevision;
    if (o.run.config.log.report) o.run.after_checkpoint = [&] { return write_report(o.run.out); };
    if (o.dry_run) return print_plan(plan_pretraining(o.run.config, o.run.device), common);
    const PretrainResult r = train(o.run, common);
    if (common.json) {
        const auto number = [](double x) {
            return std::isfinite(x) ? nlohmann::ordered_json(x) : nlohmann::ordered_json();
        };
        const nlohmann::ordered_json json = {{"checkpoint", r.checkpoint.string()},
                                             {"step", r.step},
                                             {"eval_loss", number(r.loss)},
                                             {"eval_accuracy", number(r.accuracy)}};
        fmt::print("{}\n", json_text(json));
        return;
    }
    fmt::print("checkpoint: {}\n", r.checkpoint.string());
}

}  // namespace

void add_pretrain(CLI::App& app, CommonOptions& common) {
    auto* command = app.add_subcommand(
        "pretrain",
        "Pretrain a BERT, or resume a run that was stopped\n\n"
        "Reads a data folder and writes a run folder: config.toml with every key, metrics.jsonl, and\n"
        "checkpoints/step-N, each a model folder that Hugging Face opens. The same command again resumes the run from\n"
        "its newest intact checkpoint, with the bits of a run that was not stopped. Ctrl-C ends a run after the\n"
        "current step, with a checkpoint.");
    auto options = std::make_shared<Options>();
    command
        ->add_option("config", options->config,
                     "A configuration: CONFIG.toml, or a preset (bert-tiny -mini -small -medium -base -large)")
        ->required()
        ->type_name("CONFIG");
    add_shorthand(*command, options, "--data", "data.path", "FOLDER", "The data folder that `dropforge prepare` made");
    command->add_option("--out", options->run.out, "The run folder, which is created; required except with --dry-run")
        ->type_name("FOLDER");
    command->option_defaults()->group("Configuration keys");
    add_shorthand(*command, options, "--method", "train.method", "METHOD",
                  fmt::format("Pretraining method: {} (default: train.method)", fmt::join(method_names(), ", ")));
    add_shorthand(*command, options, "--precision", "train.precision", "PRECISION",
                  "auto, bf16, fp16 or f32; auto is the fastest that the device supports");
    command->add_flag_callback(
        "--tf32",
        [options] {
            options->shorthands["train.tf32"] = {"train.tf32", "true", "--tf32"};
        },
        "Compute f32 GEMMs on a GPU's TF32 tensor cores: much faster, operands rounded to 10 bits of fraction");
    add_shorthand(*command, options, "--steps", "train.steps", "N", "Number of optimizer steps of the run");
    add_shorthand(*command, options, "--batch", "train.batch", "N", "Sequences in a step");
    add_shorthand(*command, options, "--sequence", "data.sequence", "N", "Tokens in a sequence");
    add_shorthand(*command, options, "--seed", "train.seed", "N",
                  "Seed of initial weights, order of the data, masks and dropout");
    command
        ->add_option("--set", options->settings,
                     "Set any key of the configuration, such as train.lr=1e-4; may be repeated")
        ->expected(1)
        ->take_all()
        ->type_name("KEY=VALUE");
    command->option_defaults()->group("Options");
    add_device(*command, options->device);
    command
        ->add_option("--require", options->run.required,
                     "End with an error if one of these is not used: cuda, cublaslt, cudnn, bf16")
        ->delimiter(',')
        ->type_name("NAME");
    command
        ->add_option("--resume", options->run.resume,
                     "The checkpoint to resume from: auto (the newest intact one of the run folder, if there is one), "
                     "off (none), or a folder")
        ->capture_default_str()
        ->type_name("CHECKPOINT");
    command
        ->add_option("--init", options->run.initial,
                     "Start a new run from the weights of this checkpoint, or of any BERT in Hugging Face's format")
        ->type_name("FOLDER");
    command->option_defaults()->group("Profiling");
    command
        ->add_option("--trace", options->run.trace_steps,
                     "Time every op of this many steps and write trace.json, for Perfetto")
        ->transform(whole_number<int64_t>(0));
    command
        ->add_option_function<std::string>(
            "--profile-steps", [options](const std::string& text) { take_profile_steps(text, options->run); },
            "Profile these steps by nsys or ncu, op by op in named ranges (docs/profiling.md)")
        ->type_name("FIRST:LAST");
    command->option_defaults()->group("Options");
    command->add_flag("--dry-run", options->dry_run,
                      "Print parameters, FLOPs, memory and how much is free, and do not train");
    add_common(*command, common);
    command->footer(
        "Examples:\n"
        "  dropforge pretrain bert-mini --data data --out runs/mini --steps 1000 --batch 32 --set train.lr=5e-4\n"
        "  dropforge pretrain my.toml --data data --out runs/mine --method sctd --init bert-base-uncased/\n"
        "  dropforge pretrain bert-large --data data --batch 256 --dry-run");
    command->callback([options, &common] {
        use_threads(common);
        run(*options, common);
    });
}

}  // namespace dropforge
