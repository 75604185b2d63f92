// From logits back to text: the answers of questions.
#pragma once

#include <span>
#include <string>

#include "data/tasks/sequences/sequences.h"

namespace dropforge::tasks {

/// A window of a question, and the logits of all its positions.
struct WindowLogits {
    const Item* window;
    std::span<const float> start, end;
};

struct SpanPrediction {
    std::string text;  // never "" unless the context has no piece
    double odds = 0;   // that there is no answer: the smallest sum of [CLS] of the windows − the sum of the text
};

/// The part of the context with the largest start + end, over all windows of a question and all of their pieces
/// i ≤ j < i + max_answer: in double, of equal ones that of the first window, then the lowest i, then j. Where the
/// context has no piece the text is "", and its sum 0.
SpanPrediction best_span(const std::string& context, std::span<const WindowLogits> windows, int64_t max_answer);

}  // namespace dropforge::tasks
