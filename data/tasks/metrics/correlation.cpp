#include "data/tasks/metrics/correlation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace dropforge::tasks {

namespace {

bool is_constant(Numbers numbers) {
    return std::ranges::all_of(numbers, [&](double number) { return number == numbers[0]; });
}

/// In NumPy's order: eight partial sums in blocks of up to 128 numbers, the blocks in pairs. The error grows with the
/// logarithm of the count, and what is far from 0 has NumPy's last digit.
double sum(Numbers numbers) {
    constexpr size_t kBlock = 128, kLanes = 8;
    if (numbers.size() > kBlock) {
        const size_t half = numbers.size() / 2 / kLanes * kLanes;
        return sum(numbers.first(half)) + sum(numbers.subspan(half));
    }
    std::array<double, kLanes> lanes{};
    const size_t in_lanes = numbers.size() / kLanes * kLanes;
    for (size_t i = 0; i < in_lanes; ++i) lanes[i % kLanes] += numbers[i];
    double total = ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
    for (const double number : numbers.subspan(in_lanes)) total += number;
    return total;
}

double mean(Numbers numbers) { return sum(numbers) / static_cast<double>(numbers.size()); }

}  // namespace

std::optional<double> pearson(Numbers gold, Numbers predicted) {
    if (is_constant(gold) || is_constant(predicted)) return {};
    const double gold_mean = mean(gold), predicted_mean = mean(predicted);
    double both = 0, gold_squares = 0, predicted_squares = 0;
    for (size_t i = 0; i < gold.size(); ++i) {
        const double x = gold[i] - gold_mean, y = predicted[i] - predicted_mean;
        both += x * y;
        gold_squares += x * x;
        predicted_squares += y * y;
    }
    const double spread = std::sqrt(gold_squares * predicted_squares);
    if (!std::isnormal(spread)) return {};  // a product of squares that no double holds
    return std::clamp(both / spread, -1.0, 1.0);
}

std::optional<double> spearman(Numbers gold, Numbers predicted) { return pearson(ranks(gold), ranks(predicted)); }

double mean_squared_error(Numbers gold, Numbers predicted) {
    std::vector<double> squares;
    for (size_t i = 0; i < gold.size(); ++i) squares.push_back((predicted[i] - gold[i]) * (predicted[i] - gold[i]));
    return mean(squares);
}

std::vector<double> ranks(Numbers numbers) {
    std::vector<size_t> order(numbers.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::sort(order, {}, [&](size_t i) { return numbers[i]; });
    std::vector<double> ranks(numbers.size());
    for (size_t begin = 0, end; begin < order.size(); begin = end) {
        end = begin + 1;
        while (end < order.size() && numbers[order[end]] == numbers[order[begin]]) ++end;
        const double shared = static_cast<double>(begin + 1 + end) / 2;  // of begin + 1 … end
        for (size_t i = begin; i < end; ++i) ranks[order[i]] = shared;
    }
    return ranks;
}

}  // namespace dropforge::tasks
