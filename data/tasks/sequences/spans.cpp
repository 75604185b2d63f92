#include "data/tasks/sequences/spans.h"

#include <algorithm>
#include <limits>

#include "data/tasks/code_points.h"

namespace dropforge::tasks {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct BestSpan {
    double sum = -kInfinity;
    int32_t begin = 0, end = 0;  // code points of the context
};

double sum_of(const WindowLogits& logits, size_t start, size_t end) {
    return static_cast<double>(logits.start[start]) + static_cast<double>(logits.end[end]);
}

void search(const WindowLogits& logits, int64_t max_answer, BestSpan& best) {
    const Item& window = *logits.window;
    const auto first = static_cast<size_t>(window.context), pieces = window.places.size();
    for (size_t i = 0; i < pieces; ++i) {
        const size_t stop = std::min(pieces, i + static_cast<size_t>(max_answer));
        for (size_t j = i; j < stop; ++j) {
            const double sum = sum_of(logits, first + i, first + j);
            if (sum > best.sum) best = {sum, window.places[i].begin, window.places[j].end};
        }
    }
}

}  // namespace

SpanPrediction best_span(const std::string& context, std::span<const WindowLogits> windows, int64_t max_answer) {
    BestSpan best;
    double null = kInfinity;
    for (const WindowLogits& logits : windows) {
        null = std::min(null, sum_of(logits, 0, 0));
        search(logits, max_answer, best);
    }
    if (best.sum == -kInfinity) best.sum = 0;
    return {std::string(code_points_of(context, best.begin, best.end)), null - best.sum};
}

}  // namespace dropforge::tasks
