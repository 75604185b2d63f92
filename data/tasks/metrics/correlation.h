// Metrics of predicted numbers. `gold` and `predicted` are as long as each other, and not empty.
#pragma once

#include <optional>
#include <span>
#include <vector>

namespace dropforge::tasks {

using Numbers = std::span<const double>;

/// Pearson's correlation; none if either side is constant. The means are subtracted first, for numbers far from 0.
std::optional<double> pearson(Numbers gold, Numbers predicted);
/// Pearson's correlation of the ranks.
std::optional<double> spearman(Numbers gold, Numbers predicted);
/// The mean of (predicted − gold)².
double mean_squared_error(Numbers gold, Numbers predicted);

/// The ranks of numbers, from 1; equal ones share the mean of theirs.
std::vector<double> ranks(Numbers numbers);

}  // namespace dropforge::tasks
