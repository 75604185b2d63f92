#include "data/tasks/metrics/metrics.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "data/tasks/metrics/answers.h"
#include "data/tasks/metrics/classes.h"
#include "data/tasks/metrics/correlation.h"
#include "data/tasks/metrics/entities.h"

namespace dropforge::tasks {

namespace {

using Labels = std::vector<std::string>;

/// The share of groups (questions) all of whose examples (answers) are right.
double group_accuracy(const std::vector<Example>& examples, const std::vector<int32_t>& predicted) {
    std::map<std::string, bool> right;
    for (size_t i = 0; i < examples.size(); ++i) {
        bool& all = right.try_emplace(examples[i].group, true).first->second;
        all = all && examples[i].classes[0] == predicted[i];
    }
    const auto hits = std::ranges::count(right, true, &std::pair<const std::string, bool>::second);
    return static_cast<double>(hits) / static_cast<double>(right.size());
}

Metrics class_metrics(const Task& task, size_t labels, const std::vector<Example>& examples,
                      const std::vector<int32_t>& predicted) {
    std::vector<int32_t> gold(examples.size());
    std::ranges::transform(examples, gold.begin(), [](const Example& example) { return example.classes[0]; });
    Metrics metrics;
    for (const std::string& name : task.metrics) {
        if (name == "accuracy") metrics.emplace_back(name, accuracy(gold, predicted));
        if (name == "macro_f1") metrics.emplace_back(name, macro_f1(gold, predicted));
        if (name == "matthews") metrics.emplace_back(name, matthews(gold, predicted));
        if (name == "f1a" || (name == "f1" && labels == 2)) metrics.emplace_back(name, class_f1(gold, predicted, 1));
        if (name == "em") metrics.emplace_back(name, group_accuracy(examples, predicted));
    }
    return metrics;
}

Metrics number_metrics(const std::vector<Example>& examples, const std::vector<double>& predicted) {
    std::vector<double> gold(examples.size());
    std::ranges::transform(examples, gold.begin(), &Example::value);
    return {{"pearson", pearson(gold, predicted)},
            {"spearman", spearman(gold, predicted)},
            {"mse", mean_squared_error(gold, predicted)}};
}

Metrics token_metrics(const Labels& labels, const std::vector<Example>& examples,
                      const std::vector<std::vector<int32_t>>& predicted) {
    const auto names_of = [&](const std::vector<int32_t>& tags) {
        Labels names;
        for (const int32_t tag : tags) names.push_back(labels[static_cast<size_t>(tag)]);
        return names;
    };
    std::vector<int32_t> all_gold, all_predicted;
    EntityCounts entities;
    for (size_t i = 0; i < examples.size(); ++i) {
        all_gold.insert(all_gold.end(), examples[i].classes.begin(), examples[i].classes.end());
        all_predicted.insert(all_predicted.end(), predicted[i].begin(), predicted[i].end());
        entities.add(names_of(examples[i].classes), names_of(predicted[i]));
    }
    Metrics metrics = {{"accuracy", accuracy(all_gold, all_predicted)}};
    if (are_entity_labels(labels)) {
        metrics.emplace_back("precision", entities.precision());
        metrics.emplace_back("recall", entities.recall());
        metrics.emplace_back("f1", entities.f1());
    }
    return metrics;
}

AnswerScore mean(const std::vector<AnswerScore>& scores) {
    AnswerScore sum;
    for (const AnswerScore& score : scores) {
        sum.exact += score.exact;
        sum.f1 += score.f1;
    }
    const auto count = static_cast<double>(scores.size());
    return {sum.exact / count, sum.f1 / count};
}

std::vector<AnswerScore> answer_scores(const std::vector<Example>& questions, const std::vector<std::string>& answers,
                                       SquadVersion version) {
    std::vector<AnswerScore> scores;
    for (size_t i = 0; i < questions.size(); ++i) {
        std::vector<std::string> gold;
        for (const Answer& answer : questions[i].answers) gold.push_back(answer.text);
        scores.push_back(score_answer(answers[i], gold, version));
    }
    return scores;
}

/// The means over all questions, those with an answer and those without.
Metrics means_by_part(const std::vector<Example>& questions, const std::vector<AnswerScore>& scores) {
    std::vector<AnswerScore> with, without;
    for (size_t i = 0; i < questions.size(); ++i) (questions[i].answers.empty() ? without : with).push_back(scores[i]);
    Metrics metrics;
    for (const auto& [prefix, part] : {std::pair("", &scores), {"HasAns_", &with}, {"NoAns_", &without}}) {
        if (part->empty()) continue;
        metrics.emplace_back(std::string(prefix) + "exact", mean(*part).exact);
        metrics.emplace_back(std::string(prefix) + "f1", mean(*part).f1);
    }
    return metrics;
}

Metrics squad2_metrics(const std::vector<Example>& questions, const std::vector<std::string>& answers,
                       const NoAnswer& no_answer) {
    const std::vector<AnswerScore> scores = answer_scores(questions, answers, SquadVersion::v2);
    if (!no_answer.null) return means_by_part(questions, scores);
    const NullOdds& null = *no_answer.null;
    std::vector<AnswerScore> final_scores = scores;
    for (size_t i = 0; i < scores.size() && no_answer.threshold; ++i) {
        const double right = questions[i].answers.empty() ? 1 : 0;  // if "" is predicted
        if (null.odds[i] > *no_answer.threshold) final_scores[i] = {right, right};
    }
    Metrics metrics = means_by_part(questions, final_scores);
    for (const auto& [name, score] : {std::pair("exact", &AnswerScore::exact), {"f1", &AnswerScore::f1}}) {
        std::vector<ScoredQuestion> scored;
        for (const size_t i : null.order)
            scored.push_back({scores[i].*score, !questions[i].answers.empty(), !answers[i].empty(), null.odds[i]});
        const BestThreshold best = best_threshold(std::move(scored));
        metrics.emplace_back(fmt::format("best_{}", name), best.score);
        metrics.emplace_back(fmt::format("best_{}_thresh", name), best.threshold);
    }
    return metrics;
}

}  // namespace

Metrics measure(const Task& task, const Labels& labels, const std::vector<Example>& examples,
                const Predictions& predictions, const NoAnswer& no_answer) {
    switch (task.kind) {
        case Kind::regression:
            return number_metrics(examples, predictions.values);
        case Kind::token:
            return token_metrics(labels, examples, predictions.tags);
        case Kind::span:
            break;
        default:
            return class_metrics(task, labels.size(), examples, predictions.classes);
    }
    if (task.name == "squad2") return squad2_metrics(examples, predictions.answers, no_answer);
    const AnswerScore score = mean(answer_scores(examples, predictions.answers, SquadVersion::v1));
    return {{"exact", score.exact}, {"f1", score.f1}};
}

std::optional<double> main_metric(const Task& task, const Metrics& metrics) {
    const auto value_of = [&](const std::string& name) -> std::optional<double> {
        const auto found = std::ranges::find(metrics, name, &Metrics::value_type::first);
        return found == metrics.end() ? std::nullopt : found->second;
    };
    const bool entities = task.kind != Kind::token || metrics.size() > 1;
    const std::vector<std::string> names = entities ? task.main : std::vector<std::string>{"accuracy"};
    double sum = 0;
    for (const std::string& name : names) {
        const std::optional<double> value = value_of(name);
        if (!value) return {};
        sum += *value;
    }
    return sum / static_cast<double>(names.size());
}

}  // namespace dropforge::tasks
