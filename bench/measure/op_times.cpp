#include "bench/measure/op_times.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace dropforge {

namespace {

using Json = nlohmann::ordered_json;

/// The name of an op's group: "layer*/fc1" for "layer3/fc1", also after a scope.
std::string group_name(const std::string& op) {
    constexpr std::string_view kLayer = "layer";
    const size_t layer = op.find(kLayer);
    if (layer == std::string::npos || (layer > 0 && op[layer - 1] != '/')) return op;
    const size_t slash = op.find('/', layer);
    if (slash == std::string::npos) return op;
    return op.substr(0, layer + kLayer.size()) + "*" + op.substr(slash);
}

}  // namespace

void OpTimes::add(const Op& op, double runs, double seconds, double floor) {
    Group& g = groups_[group_name(op.name)];
    g.seconds += seconds;
    g.floor += floor;
    g.flops += op.flops * runs;
    g.bytes += op.bytes * runs;
}

void OpTimes::add(const std::string& name, double seconds) { groups_[name].seconds += seconds; }

Json OpTimes::json() const {
    double total = 0;
    for (const auto& [name, g] : groups_) total += g.seconds;
    std::vector<std::pair<std::string, Group>> order(groups_.begin(), groups_.end());
    std::stable_sort(order.begin(), order.end(),
                     [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
    Json list = Json::array();
    for (const auto& [name, g] : order) {
        if (g.seconds <= 0) continue;
        list.push_back({{"op", name},
                        {"ms", g.seconds * 1e3},
                        {"gflops", g.flops / g.seconds / 1e9},
                        {"gbytes_per_second", g.bytes / g.seconds / 1e9},
                        {"share", g.seconds / total}});
        if (g.floor > 0) list.back()["floor_ms"] = g.floor * 1e3;
    }
    return list;
}

OpTimes op_times(TrainingStep& step, double steps) {
    OpTimes times;
    const auto add = [&](const Executor& executor, double weight) {
        const auto clocked = executor.times();
        for (size_t i = 0; i < clocked.size(); ++i)
            times.add(executor.program().ops()[i], static_cast<double>(clocked[i].runs) * weight,
                      clocked[i].seconds * weight);
    };
    const std::vector<Executor*> executors = step.executors();
    const std::vector<StepPrograms::Passes>& passes = step.programs().passes;
    size_t next = 0;
    for (const StepPrograms::Passes& p : passes) {
        const double weight = step.programs().options.method->share(p.kind) / steps;
        add(*executors[next++], weight);
        if (p.accumulating) add(*executors[next++], weight);
    }
    add(*executors[next], 1 / (steps * static_cast<double>(passes.size())));  // the update, once in a step of any kind
    return times;
}

void print_op_times(const Json& list) {
    const bool floors = std::ranges::any_of(list, [](const Json& op) { return op.contains("floor_ms"); });
    fmt::print("\n  {:<36} {:>9} {:>8} {:>9} {:>8}{}\n", "op", "ms", "share", "GFLOP/s", "GB/s",
               floors ? fmt::format(" {:>9}", "floor ms") : "");
    for (const Json& op : list)
        fmt::print("  {:<36} {:>9.3f} {:>7.1f}% {:>9.1f} {:>8.1f}{}\n", op["op"].get<std::string>(),
                   op["ms"].get<double>(), 100 * op["share"].get<double>(), op["gflops"].get<double>(),
                   op["gbytes_per_second"].get<double>(),
                   op.contains("floor_ms") ? fmt::format(" {:>9.3f}", op["floor_ms"].get<double>()) : "");
}

}  // namespace dropforge
