#include "data/tasks/metrics/metrics_json.h"

#include <nlohmann/json.hpp>

namespace dropforge::tasks {

nlohmann::ordered_json json_of(std::optional<double> value) {
    return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json();
}

nlohmann::ordered_json json_of(const Metrics& metrics) {
    auto json = nlohmann::ordered_json::object();
    for (const auto& [name, value] : metrics) json[name] = json_of(value);
    return json;
}

}  // namespace dropforge::tasks
