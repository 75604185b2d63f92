#include "data/tasks/metrics/classes.h"

#include <algorithm>
#include <cmath>

namespace dropforge::tasks {

namespace {

struct ClassCounts {
    int64_t gold = 0, predicted = 0, hits = 0;

    double f1() const {
        return gold + predicted == 0 ? 0 : static_cast<double>(2 * hits) / static_cast<double>(gold + predicted);
    }
};

/// Of the classes 0 … the largest that occurs.
std::vector<ClassCounts> count(Classes gold, Classes predicted) {
    std::vector<ClassCounts> counts(static_cast<size_t>(std::max(std::ranges::max(gold), std::ranges::max(predicted))) +
                                    1);
    for (size_t i = 0; i < gold.size(); ++i) {
        ++counts[static_cast<size_t>(gold[i])].gold;
        ++counts[static_cast<size_t>(predicted[i])].predicted;
        if (gold[i] == predicted[i]) ++counts[static_cast<size_t>(gold[i])].hits;
    }
    return counts;
}

}  // namespace

double accuracy(Classes gold, Classes predicted) {
    int64_t hits = 0;
    for (size_t i = 0; i < gold.size(); ++i) hits += gold[i] == predicted[i] ? 1 : 0;
    return static_cast<double>(hits) / static_cast<double>(gold.size());
}

double class_f1(Classes gold, Classes predicted, int32_t of) {
    const std::vector<ClassCounts> counts = count(gold, predicted);
    return static_cast<size_t>(of) < counts.size() ? counts[static_cast<size_t>(of)].f1() : 0;
}

double macro_f1(Classes gold, Classes predicted) {
    double sum = 0;
    int64_t present = 0;
    for (const ClassCounts& c : count(gold, predicted)) {
        if (c.gold + c.predicted == 0) continue;
        sum += c.f1();
        ++present;
    }
    return sum / static_cast<double>(present);
}

double matthews(Classes gold, Classes predicted) {
    const auto n = static_cast<int64_t>(gold.size());
    int64_t hits = 0, both = 0, gold_squares = 0, predicted_squares = 0;
    for (const ClassCounts& c : count(gold, predicted)) {
        hits += c.hits;
        both += c.gold * c.predicted;
        gold_squares += c.gold * c.gold;
        predicted_squares += c.predicted * c.predicted;
    }
    const double spread =
        std::sqrt(static_cast<double>(n * n - gold_squares) * static_cast<double>(n * n - predicted_squares));
    return spread == 0 ? 0 : static_cast<double>(n * hits - both) / spread;
}

}  // namespace dropforge::tasks
