#include "report/quantity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>

namespace dropforge::report {

namespace {

constexpr double kMinute = 60, kHour = 3600, kDay = 86400;

struct Unit {
    double size;
    const char* name;
};

/// In the largest unit that is not larger than the value.
std::string with_unit(double value, std::initializer_list<Unit> units) {
    for (const Unit& unit : units)
        if (std::abs(value) >= 0.99995 * unit.size) return fmt::format("{:.4g} {}", value / unit.size, unit.name);
    return fmt::format("{:.4g}", value);
}

/// "1 h 30 min": the larger unit, and what is left in the smaller one.
std::string in_two_units(double value, const Unit& large, const Unit& small) {
    const auto smalls = std::llround(value / small.size), ratio = std::llround(large.size / small.size);
    const std::string text = fmt::format("{} {}", smalls / ratio, large.name);
    return smalls % ratio == 0 ? text : fmt::format("{} {} {}", text, smalls % ratio, small.name);
}

std::string duration(double seconds) {
    if (seconds < 59.95) return fmt::format("{:.3g} s", seconds);
    if (seconds < kHour - 0.5) return in_two_units(seconds, {kMinute, "min"}, {1, "s"});
    if (seconds < 2 * kDay - kMinute / 2) return in_two_units(seconds, {kHour, "h"}, {kMinute, "min"});
    return in_two_units(seconds, {kDay, "d"}, {kHour, "h"});
}

/// 1, 2 or 5 times a power of ten, at least `least`.
double round_distance(double least) {
    const double power = std::pow(10, std::floor(std::log10(least)));
    for (const double factor : {1.0, 2.0, 5.0})
        if (factor * power >= least * (1 - 1e-9)) return factor * power;
    return 10 * power;
}

double round_duration(double least) {
    if (least < 1) return round_distance(least);
    for (const double seconds : {1., 2., 5., 10., 15., 30., kMinute, 2 * kMinute, 5 * kMinute, 10 * kMinute,
                                 15 * kMinute, 30 * kMinute, kHour, 2 * kHour, 3 * kHour, 6 * kHour, 12 * kHour})
        if (seconds >= least) return seconds;
    return kDay * round_distance(std::max(least / kDay, 1.0));
}

}  // namespace

std::string text_of(double value, Quantity quantity) {
    switch (quantity) {
        case Quantity::count:
            return with_unit(value, {{1e12, "T"}, {1e9, "B"}, {1e6, "M"}, {1e3, "k"}});
        case Quantity::flops:
            return with_unit(value, {{1e24, "YFLOP"},
                                     {1e21, "ZFLOP"},
                                     {1e18, "EFLOP"},
                                     {1e15, "PFLOP"},
                                     {1e12, "TFLOP"},
                                     {1e9, "GFLOP"},
                                     {1e6, "MFLOP"}});
        case Quantity::seconds:
            return duration(value);
        case Quantity::share:
            return fmt::format("{:.3g} %", 100 * value);
        case Quantity::number:
            break;
    }
    return fmt::format("{:.4g}", value);
}

std::vector<double> round_values(double low, double high, int most, Quantity quantity) {
    const double least = (high - low) / most;
    double distance = quantity == Quantity::seconds ? round_duration(least) : round_distance(least);
    if (quantity == Quantity::count) distance = std::max(distance, 1.0);
    std::vector<double> values;
    for (double i = std::ceil(low / distance - 1e-9); i * distance <= high + 1e-9 * distance; ++i)
        values.push_back(i * distance + 0.0);  // + 0: not -0
    return values;
}

}  // namespace dropforge::report
