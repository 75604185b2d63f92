// Numbers for people, and the round values at which an axis is marked.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dropforge::report {

enum class Quantity : uint8_t { number, count, flops, seconds, share };

/// The value with its unit, to three or four significant digits: "3.512", "1.2 M", "3.4 PFLOP", "1 h 30 min", "41 %".
std::string text_of(double value, Quantity quantity);

/// The multiples of a round distance that lie in [low, high], at most `most` of them; low < high. Time goes by halves
/// of a minute, quarters of an hour and so on.
std::vector<double> round_values(double low, double high, int most, Quantity quantity);

}  // namespace dropforge::report
