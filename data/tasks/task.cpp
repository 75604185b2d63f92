#include "data/tasks/task.h"

#include <algorithm>

#include "base/error.h"
#include "base/nearest.h"

namespace dropforge::tasks {

namespace {

using Names = std::vector<std::string>;
using Columns = std::vector<Names>;

const Names kBoolean = {"0", "1"}, kEntailment = {"entailment", "not_entailment"};
const Names kAccuracy = {"accuracy"}, kAccuracyAndF1 = {"accuracy", "f1"},
            kAnyClasses = {"accuracy", "f1", "macro_f1", "matthews"};
const Names kCorrelations = {"pearson", "spearman"};
const Columns kSentences = {{"label"}, {"sentence1", "premise"}, {"sentence2", "hypothesis"}};

std::vector<Task> make_tasks() {
    std::vector<Task> tasks;
    const auto add = [&](Task task) { tasks.push_back(std::move(task)); };
    add({.name = "single", .kind = Kind::single, .metrics = kAnyClasses, .main = kAccuracy});
    add({.name = "pair", .kind = Kind::pair, .metrics = kAnyClasses, .main = kAccuracy});
    add({.name = "regression", .kind = Kind::regression, .main = kCorrelations});
    add({.name = "choice", .kind = Kind::choice, .form = Form::choices, .metrics = kAccuracy, .main = kAccuracy});
    add({.name = "token", .kind = Kind::token, .form = Form::words, .main = {"f1"}});
    add({.name = "span", .kind = Kind::span, .form = Form::questions, .main = {"f1"}, .length = 384});
    add({.name = "cola",
         .kind = Kind::single,
         .columns = {{"label"}, {"sentence"}},
         .labels = kBoolean,
         .metrics = {"matthews", "accuracy"},
         .main = {"matthews"},
         .bare_columns = {"source", "label", "mark", "sentence"}});
    add({.name = "sst2",
         .kind = Kind::single,
         .columns = {{"label"}, {"sentence"}},
         .labels = kBoolean,
         .metrics = kAccuracy,
         .main = kAccuracy});
    add({.name = "mrpc",
         .kind = Kind::pair,
         .columns = {{"Quality", "label"}, {"#1 String", "sentence1"}, {"#2 String", "sentence2"}},
         .labels = kBoolean,
         .metrics = kAccuracyAndF1,
         .main = kAccuracyAndF1});
    add({.name = "stsb",
         .kind = Kind::regression,
         .columns = {{"score"}, {"sentence1"}, {"sentence2"}},
         .main = kCorrelations});
    add({.name = "qqp",
         .kind = Kind::pair,
         .columns = {{"is_duplicate", "label"}, {"question1"}, {"question2"}},
         .labels = kBoolean,
         .metrics = kAccuracyAndF1,
         .main = kAccuracyAndF1});
    add({.name = "mnli",
         .kind = Kind::pair,
         .columns = {{"gold_label", "label"}, {"sentence1", "premise"}, {"sentence2", "hypothesis"}},
         .labels = {"entailment", "neutral", "contradiction"},
         .metrics = kAccuracy,
         .main = kAccuracy,
         .left_out = "-"});
    add({.name = "qnli",
         .kind = Kind::pair,
         .columns = {{"label"}, {"question"}, {"sentence"}},
         .labels = kEntailment,
         .metrics = kAccuracy,
         .main = kAccuracy});
    add({.name = "rte",
         .kind = Kind::pair,
         .columns = kSentences,
         .labels = kEntailment,
         .metrics = kAccuracy,
         .main = kAccuracy});
    add({.name = "wnli",
         .kind = Kind::pair,
         .columns = {{"label"}, {"sentence1"}, {"sentence2"}},
         .labels = kBoolean,
         .metrics = kAccuracy,
         .main = kAccuracy});
    add({.name = "boolq",
         .kind = Kind::pair,
         .columns = {{"label", "answer"}, {"question"}, {"passage"}},
         .labels = kBoolean,
         .metrics = kAccuracy,
         .main = kAccuracy,
         .length = 256});
    add({.name = "cb",
         .kind = Kind::pair,
         .columns = {{"label"}, {"premise"}, {"hypothesis"}},
         .labels = {"entailment", "contradiction", "neutral"},
         .metrics = {"accuracy", "macro_f1"},
         .main = {"accuracy", "macro_f1"}});
    add({.name = "copa", .kind = Kind::choice, .form = Form::choices, .metrics = kAccuracy, .main = kAccuracy});
    add({.name = "wic",
         .kind = Kind::pair,
         .form = Form::word_and_texts,
         .columns = {{"label"}, {"word"}, {"sentence1"}, {"sentence2"}},
         .labels = kBoolean,
         .metrics = kAccuracy,
         .main = kAccuracy});
    add({.name = "multirc",
         .kind = Kind::pair,
         .form = Form::passages,
         .columns = {{"label"}, {"passage_id"}, {"question_id"}, {"question"}, {"answer"}},
         .labels = kBoolean,
         .metrics = {"f1a", "em"},
         .main = {"f1a", "em"},
         .length = 256});
    add({.name = "squad", .kind = Kind::span, .form = Form::questions, .main = {"f1"}, .length = 384});
    add({.name = "squad2", .kind = Kind::span, .form = Form::questions, .main = {"f1"}, .length = 384});
    return tasks;
}

}  // namespace

const std::vector<Task>& all_tasks() {
    static const std::vector<Task> tasks = make_tasks();
    return tasks;
}

const Task& find_task(const std::string& name) {
    const auto found = std::ranges::find(all_tasks(), name, &Task::name);
    if (found != all_tasks().end()) return *found;
    std::vector<std::string> names;
    for (const Task& task : all_tasks()) names.push_back(task.name);
    throw Error("no task {}; the nearest is {}", name, nearest(name, names));
}

}  // namespace dropforge::tasks
