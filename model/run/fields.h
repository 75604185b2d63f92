// The table of a run's keys: parsing, checks, printing and --set of run_config.cpp all come from it.
#pragma once

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "model/run/config.h"

namespace dropforge::config {

/// Allowed values of a number.
struct Range {
    double low, high;
    bool open_low = false, open_high = false;

    bool holds(double x) const {  // false for NaN
        return (open_low ? x > low : x >= low) && (open_high ? x < high : x <= high);
    }
    std::string text() const {
        if (std::isinf(high)) return fmt::format("{} {}", open_low ? ">" : "≥", low);
        return fmt::format("in {}{}, {}{}", open_low ? '(' : '[', low, high, open_high ? ')' : ']');
    }
};

/// In the order of Precision.
inline constexpr std::array kPrecisionNames{"auto", "bf16", "fp16", "f32"};

constexpr Range kAny{0, 0};

/// A number that follows from other keys until it is given.
template <typename Number>
struct Derived {
    std::optional<Number>* given;
    Number value;
};
template <typename Number>
Derived(std::optional<Number>*, Number) -> Derived<Number>;
/// An enum as its number.
struct Choice {
    size_t value;
    std::function<void(size_t)> assign;
};
/// Shorthand for four keys; never printed.
struct Preset {
    BertConfig* model;
};
/// Where a key's value lives, by its type.
using Slot = std::variant<int64_t*, Derived<int64_t>, double*, Derived<double>, float*, bool*, std::string*, Keep*,
                          Choice, Preset>;

struct Field {
    const char *table, *name;
    Slot (*slot)(RunConfig&);
    Range range = kAny;
    std::vector<const char*> choices = {};  // in the order of the enum
    bool defines_run = true;                // must not change when a run is resumed
    bool (*used_by)(Method) = nullptr;      // the methods that read it, and whose runs it defines; null: all
    bool stays = false;                     // a resumed run has its first value: Derived from a key that may change, a
                                            // choice, the first of which is "auto", or an integer, where 0 is automatic
    void (*after)(RunConfig&) = nullptr;    // what follows from the new value

    std::string key() const { return fmt::format("{}.{}", table, name); }
    bool defines(Method method) const { return defines_run && (used_by == nullptr || used_by(method)); }
};

/// All keys in the order in which they are printed; a shorthand stands before the keys that it sets.
const std::vector<Field>& fields();

}  // namespace dropforge::config
