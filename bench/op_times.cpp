#include "bench/op_times.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

namespace dropforge {

namespace {

using Json = nlohmann::ordered_json;

/// Times of the ops that differ only in the layer's number, added up.
struct OpGroup {
    double seconds = 0, flops = 0, bytes = 0;
};

/// "layer3/fc1" → "layer*/fc1", also after a scope.
std::string group_name(const std::string& op) {
    constexpr std::string_view kLayer = "layer";
    const size_t layer = op.find(kLayer);
    if (layer == std::string::npos || (layer > 0 && op[layer - 1] != '/')) return op;
    const size_t slash = op.find('/', layer);
    if (slash == std::string::npos) return op;
    return op.substr(0, layer + kLayer.size()) + "*" + op.substr(slash);
}

std::map<std::string, OpGroup> groups_of(TrainingStep& step, double steps) {
    std::map<std::string, OpGroup> groups;
    for (const Executor* executor : step.executors()) {
        const auto times = executor->times();
        for (size_t i = 0; i < times.size(); ++i) {
            const Op& op = executor->program().ops()[i];
            OpGroup& g = groups[group_name(op.name)];
            const double runs = static_cast<double>(times[i].runs) / steps;
            g.seconds += times[i].seconds / steps;
            g.flops += op.flops * runs;
            g.bytes += op.bytes * runs;
        }
    }
    return groups;
}

}  // namespace

Json op_times(TrainingStep& step, double steps) {
    const auto groups = groups_of(step, steps);
    double total = 0;
    for (const auto& [name, g] : groups) total += g.seconds;
    std::vector<std::pair<std::string, OpGroup>> order(groups.begin(), groups.end());
    std::stable_sort(order.begin(), order.end(),
                     [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
    Json list = Json::array();
    for (const auto& [name, g] : order)
        if (g.seconds > 0)
            list.push_back({{"op", name},
                            {"ms", g.seconds * 1e3},
                            {"gflops", g.flops / g.seconds / 1e9},
                            {"gbytes_per_second", g.bytes / g.seconds / 1e9},
                            {"share", g.seconds / total}});
    return list;
}

void print_op_times(const Json& list) {
    fmt::print("\n  {:<36} {:>9} {:>8} {:>9} {:>8}\n", "op", "ms", "share", "GFLOP/s", "GB/s");
    for (const Json& op : list)
        fmt::print("  {:<36} {:>9.3f} {:>7.1f}% {:>9.1f} {:>8.1f}\n", op["op"].get<std::string>(),
                   op["ms"].get<double>(), 100 * op["share"].get<double>(), op["gflops"].get<double>(),
                   op["gbytes_per_second"].get<double>());
}

}  // namespace dropforge
