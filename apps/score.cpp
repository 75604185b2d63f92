// dropforge score: the metrics of a task from a file of predictions, without a model.
#include <cmath>

#include "apps/commands.h"
#include "apps/task_options.h"
#include "apps/task_scores.h"
#include "base/error.h"
#include "data/tasks/labels.h"
#include "data/tasks/metrics/predictions.h"

namespace dropforge {

namespace {

struct Options {
    TaskChoice task;
    fs::path predictions, evaluated, null_odds;
    std::optional<double> null_threshold;
};

/// Those that were given, or of the task, or of both files.
std::vector<std::string> labels_of(const tasks::Task& task, const Options& o, const tasks::ExampleFile& evaluated,
                                   const tasks::ExampleFile& predicted) {
    if (!o.task.labels.empty()) return tasks::given_labels(task, o.task.labels);
    if (!tasks::has_own_labels(task)) return task.labels;
    return tasks::labels_in({&evaluated, &predicted});
}

TaskScores score(const Options& o) {
    const tasks::Task& named = tasks::find_task(o.task.name);
    tasks::ExampleFile evaluated = tasks::read_examples(named, o.evaluated, {.columns = o.task.columns});
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
    return {.task = o.task.name,
            .examples = evaluated.examples.size(),
            .main = tasks::main_metric(task, metrics),
            .metrics = metrics};
}

void add_files(CLI::App& command, Options& o) {
    add_task_options(command, o.task)->required();
    command.add_option("--predictions", o.predictions, "What was predicted, in the file that the kind of task has")
        ->required()
        ->type_name("TSV|CONLL|JSON");
    command.add_option("--eval", o.evaluated, "The file that was predicted for, with its labels")
        ->required()
        ->type_name("FILE");
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
    add_files(*command, *options);
    add_no_answer_options(*command, *options);
    add_common(*command, common);
    command->footer(
        "Examples:\n"
        "  dropforge score --task mrpc --predictions predictions.tsv --eval msr_paraphrase_test.txt\n"
        "  dropforge score --task squad2 --predictions answers.json --null-odds null_odds.json --eval dev-v2.0.json");
    command->callback([options, &common] { print_scores(score(*options), common.json); });
}

}  // namespace dropforge
