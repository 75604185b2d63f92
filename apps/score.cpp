// dropforge score: the metrics of a task from a file of predictions, without a model.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "base/error.h"
#include "data/tasks/labels.h"
#include "data/tasks/metrics/metrics_json.h"
#include "data/tasks/metrics/predictions.h"

namespace dropforge {

namespace {

struct Options {
    std::string task;
    fs::path predictions, evaluated, null_odds;
    std::optional<double> null_threshold;
    std::vector<std::string> labels, columns;
};

struct Score {
    size_t examples;
    std::optional<double> main;
    tasks::Metrics metrics;
};

/// Those that were given, or of the task, or of both files.
std::vector<std::string> labels_of(const tasks::Task& task, const Options& o, const tasks::ExampleFile& evaluated,
                                   const tasks::ExampleFile& predicted) {
    if (!o.labels.empty()) return tasks::given_labels(task, o.labels);
    if (!tasks::has_own_labels(task)) return task.labels;
    return tasks::labels_in({&evaluated, &predicted});
}

Score score(const Options& o) {
    const tasks::Task& named = tasks::find_task(o.task);
    tasks::ExampleFile evaluated = tasks::read_examples(named, o.evaluated, {.columns = o.columns});
    const tasks::Task& task = tasks::resolve(named, evaluated);
    tasks::ExampleFile predicted = tasks::read_predictions(task, o.predictions, evaluated);
    const std::vector<std::string> labels = labels_of(task, o, evaluated, predicted);
    tasks::index_labels(task, labels, evaluated);
    tasks::index_labels(task, labels, predicted);
    tasks::NoAnswer no_answer{.null = {}, .threshold = o.null_threshold};
    if (!o.null_odds.empty()) {
        require(task.name == "squad2", "--null-odds: {} has no questions without an answer",
                named.name == "span" ? o.evaluated.string() : task.name);
        no_answer.null = tasks::read_null_odds(o.null_odds, evaluated);
    }
    const tasks::Metrics metrics =
        tasks::measure(task, labels, evaluated.examples, tasks::predictions_of(task, std::move(predicted)), no_answer);
    return {evaluated.examples.size(), tasks::main_metric(task, metrics), metrics};
}

void print_json(const std::string& task, const Score& score) {
    const nlohmann::ordered_json json = {{"task", task},
                                         {"examples", score.examples},
                                         {"main", tasks::json_of(score.main)},
                                         {"metrics", tasks::json_of(score.metrics)}};
    fmt::print("{}\n", json.dump());
}

void print(const Score& score) {
    const auto line = [](const std::string& name, std::optional<double> value) {
        fmt::print("{:<18}  {}\n", name, value ? fmt::format("{:.4f}", *value) : "not defined");
    };
    for (const auto& [name, value] : score.metrics) line(name, value);
    line("main", score.main);
    fmt::print("{:<18}  {}\n", "examples", score.examples);
}

void add_task_options(CLI::App& command, Options& o) {
    std::vector<const char*> names;
    for (const tasks::Task& task : tasks::all_tasks()) names.push_back(task.name.c_str());
    add_names(
        command, "--task", names, 0, [&o, names](size_t chosen) { o.task = names[chosen]; },
        "The task, which says how the files are read and what is measured")
        ->default_str("")
        ->required();
    command.add_option("--predictions", o.predictions, "What was predicted, in the file that the kind of task has")
        ->required()
        ->type_name("TSV|CONLL|JSON");
    command.add_option("--eval", o.evaluated, "The file that was predicted for, with its labels")
        ->required()
        ->type_name("FILE");
    command
        .add_option("--labels", o.labels,
                    "The labels of single, pair or token, with commas between; by default those of both files")
        ->type_name("LABEL")
        ->delimiter(',');
    command
        .add_option("--columns", o.columns,
                    "The columns of the label and of the texts, with commas between, in a TSV or JSON lines")
        ->type_name("NAME")
        ->delimiter(',');
}

void add_no_answer_options(CLI::App& command, Options& o) {
    CLI::Option* odds =
        command
            .add_option("--null-odds", o.null_odds, "Of squad2: {id: number}, the larger, the likelier no answer is")
            ->type_name("FILE");
    command
        .add_option("--null-threshold", o.null_threshold,
                    "Count the answer of a question with larger odds than this as none")
        ->check(CLI::Validator(
            [](const std::string& text) -> std::string {
                double number = 0;
                const bool is_one = CLI::detail::lexical_cast(text, number) && std::isfinite(number);
                return is_one ? "" : "expected a number, got " + text;
            },
            ""))
        ->type_name("NUMBER")
        ->needs(odds);
}

}  // namespace

void add_score(CLI::App& app, CommonOptions& common) {
    auto* command = app.add_subcommand(
        "score",
        "Measure predictions for a task as its owners do: GLUE, SuperGLUE, SQuAD, CoNLL, your own\n\n"
        "No model is needed. What the files of each task look like, and what is measured, is in "
        "docs/finetuning.md.\n"
        "Metrics are fractions; `main` is the one, or the mean of those, by which models are "
        "compared.");
    auto options = std::make_shared<Options>();
    add_task_options(*command, *options);
    add_no_answer_options(*command, *options);
    add_common(*command, common);
    command->footer(
        "Examples:\n"
        "  dropforge score --task mrpc --predictions predictions.tsv --eval msr_paraphrase_test.txt\n"
        "  dropforge score --task squad2 --predictions answers.json --null-odds null_odds.json --eval dev-v2.0.json");
    command->callback([options, &common] {
        const Score result = score(*options);
        if (common.json)
            print_json(options->task, result);
        else
            print(result);
    });
}

}  // namespace dropforge
