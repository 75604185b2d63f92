#include "finetune/evaluation/held_out.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/philox.h"

namespace dropforge {

namespace {

constexpr uint64_t kHeldOutKey = 0x48454c445f4f5554;  // "HELD_OUT"
constexpr size_t kOneIn = 10;

/// Examples that stay together, by the order in which units are counted off.
struct Unit {
    int32_t stratum;
    uint32_t place;  // at random among those of its stratum
    std::vector<size_t> examples;
};

std::vector<Unit> units_of(const std::vector<tasks::Example>& examples) {
    std::vector<Unit> units;
    std::map<std::string, size_t> groups;
    for (size_t i = 0; i < examples.size(); ++i) {
        const tasks::Example& example = examples[i];
        const bool has_class = example.group.empty() && example.classes.size() == 1 && example.words.empty();
        const bool is_new = example.group.empty() || groups.try_emplace(example.group, units.size()).second;
        if (is_new) units.push_back({.stratum = has_class ? example.classes[0] : 0, .place = 0, .examples = {}});
        (example.group.empty() ? units.back() : units[groups.at(example.group)]).examples.push_back(i);
    }
    return units;
}

}  // namespace

HeldOut hold_out(tasks::ExampleFile file, int64_t seed) {
    std::vector<Unit> units = units_of(file.examples);
    require(units.size() >= 2, "{}: one example cannot be divided into training and held out", file.path);
    PhiloxStream random(static_cast<uint64_t>(seed) ^ kHeldOutKey, 0);
    for (Unit& unit : units) unit.place = random.next();
    std::ranges::stable_sort(units, {}, [](const Unit& unit) { return std::pair(unit.stratum, unit.place); });
    const size_t first = random.below(static_cast<uint32_t>(std::min(kOneIn, units.size())));
    std::vector<bool> is_held_out(file.examples.size());
    for (size_t i = first; i < units.size(); i += kOneIn)
        for (const size_t example : units[i].examples) is_held_out[example] = true;
    HeldOut parts{.training = {.path = file.path, .skipped = file.skipped}, .held_out = {.path = file.path}};
    for (size_t i = 0; i < file.examples.size(); ++i)
        (is_held_out[i] ? parts.held_out : parts.training).examples.push_back(std::move(file.examples[i]));
    return parts;
}

}  // namespace dropforge
