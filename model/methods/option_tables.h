// The options of methods: a struct for each table of a configuration, and where each key of it lives.
#pragma once

#include <any>
#include <cmath>
#include <functional>
#include <optional>
#include <string>
#include <typeindex>
#include <unordered_map>
#include <variant>
#include <vector>

#include "model/network/bert_config.h"

namespace dropforge {

/// One struct of options of each type, with its defaults until it is changed.
class OptionTables {
  public:
    template <typename Options>
    Options& of() {
        std::any& place = tables_[std::type_index(typeid(Options))];
        if (!place.has_value()) place = Options{};
        return std::any_cast<Options&>(place);
    }
    template <typename Options>
    const Options& of() const {
        static const Options defaults{};
        const auto found = tables_.find(std::type_index(typeid(Options)));
        return found == tables_.end() ? defaults : std::any_cast<const Options&>(found->second);
    }

  private:
    std::unordered_map<std::type_index, std::any> tables_;
};

/// A count, or a share of a total, rounded down.
struct CountOrShare {
    double value = 0.5;
    bool is_share = true;

    /// Out of `total`; may be out of range, which the method's check refuses.
    int64_t of(int64_t total) const;
    /// As in a configuration: "0.5", "1.0" (a share), "64" (a count).
    std::string text() const;
    friend bool operator==(const CountOrShare&, const CountOrShare&) = default;
};

namespace config {

/// Allowed values of a number.
struct Range {
    double low, high;
    bool open_low = false, open_high = false;

    bool holds(double x) const {  // false for NaN
        return (open_low ? x > low : x >= low) && (open_high ? x < high : x <= high);
    }
    /// "≥ 0", "in (0, 1]", "that is finite".
    std::string text() const;
};

constexpr Range kAny{0, 0};
constexpr double kMany = 2147483647;  // steps, sequences
constexpr Range kFinite{-HUGE_VAL, HUGE_VAL, true, true};
constexpr Range kPositive{0, HUGE_VAL, true, true}, kNotNegative{0, HUGE_VAL, false, true};
constexpr Range kBelowOne{0, 1, false, true};
constexpr Range kSteps{0, kMany};

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
using Slot = std::variant<int64_t*, Derived<int64_t>, double*, Derived<double>, std::vector<double>*, float*,
                          std::optional<float>*, bool*, std::string*, CountOrShare*, Choice, Preset>;

template <typename Enum>
Choice choice(Enum& value) {
    return {static_cast<size_t>(value), [&value](size_t chosen) { value = static_cast<Enum>(chosen); }};
}
/// Of a value that is its name.
Choice choice(std::string& value, const std::vector<const char*>& names);

/// A key of a method's table.
struct MethodKey {
    const char *table, *name;
    Slot (*slot)(OptionTables&);
    Range range = kAny;
    std::vector<const char*> choices = {};   // in the order of the enum
    void (*after)(OptionTables&) = nullptr;  // what follows from the new value
};

}  // namespace config

}  // namespace dropforge
