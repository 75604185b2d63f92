#include "report/op_times.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace dropforge::report {

namespace {

/// "fc1" of "layer3/fc1"; a name outside of the layers as it is.
std::string without_layer(const std::string& name) {
    const size_t slash = name.find('/');
    return name.starts_with("layer") && slash != std::string::npos ? name.substr(slash + 1) : name;
}

}  // namespace

std::vector<OpTotal> op_times(const fs::path& trace) {
    const nlohmann::json json = nlohmann::json::parse(read_text(trace), nullptr, false);
    std::map<std::string, OpTotal> times;
    try {
        for (const nlohmann::json& event : json.at("traceEvents")) {
            if (event.at("ph") != "X") continue;
            const std::string name = without_layer(event.at("name").get<std::string>());
            const double seconds = event.at("dur").get<double>() * 1e-6;
            OpTotal& time = times[name];
            time.name = name;
            time.seconds += seconds;
            time.flops += event.at("args").at("gflops").get<double>() * 1e9 * seconds;
            ++time.calls;
        }
    } catch (const nlohmann::json::exception&) {
        throw Error("{}: expected a trace that dropforge pretrain --trace has written", trace.string());
    }
    std::vector<OpTotal> sorted;
    sorted.reserve(times.size());
    for (const auto& time : times) sorted.push_back(time.second);
    std::ranges::stable_sort(sorted, std::greater{}, &OpTotal::seconds);
    return sorted;
}

}  // namespace dropforge::report
