#include "model/methods/option_tables.h"

#include <fmt/format.h>

#include <algorithm>

namespace dropforge {

int64_t CountOrShare::of(int64_t total) const {
    if (!is_share) return static_cast<int64_t>(value);
    // 0.29 · 100 is 28.999999999999996 in double precision: a product within rounding of an integer is that integer.
    return static_cast<int64_t>(std::floor(value * static_cast<double>(total) * (1 + 1e-12)));
}

std::string CountOrShare::text() const {
    if (!is_share) return std::to_string(static_cast<int64_t>(value));
    return value == 1 ? "1.0" : fmt::format("{}", value);  // 1 would be a count
}

namespace config {

std::string Range::text() const {
    if (std::isinf(low)) return "that is finite";
    if (std::isinf(high)) return fmt::format("{} {}", open_low ? ">" : "≥", low);
    return fmt::format("in {}{}, {}{}", open_low ? '(' : '[', low, high, open_high ? ')' : ']');
}

Choice choice(std::string& value, const std::vector<const char*>& names) {
    return {static_cast<size_t>(std::ranges::find(names, value) - names.begin()),
            [&value, names](size_t chosen) { value = names[chosen]; }};
}

}  // namespace config

}  // namespace dropforge
