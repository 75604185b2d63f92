// Metrics of predicted classes. `gold` and `predicted` are as long as each other, and not empty.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace dropforge::tasks {

using Classes = std::span<const int32_t>;

/// The share that is right.
double accuracy(Classes gold, Classes predicted);
/// 2·hits / (gold + predicted) of one class; 0 if neither has it.
double class_f1(Classes gold, Classes predicted, int32_t of);
/// The mean of class_f1 over the classes that occur in either.
double macro_f1(Classes gold, Classes predicted);
/// Matthews' correlation for any number of classes (Gorodkin 2004): (n·hits − Σ tₖpₖ) / √((n² − Σtₖ²)(n² − Σpₖ²)); 0
/// where the root is 0.
double matthews(Classes gold, Classes predicted);

}  // namespace dropforge::tasks
