#include "apps/task_scores.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "data/tasks/metrics/metrics_json.h"

namespace dropforge {

void print_scores(const TaskScores& s, bool json) {
    if (json) {
        nlohmann::ordered_json object = {{"task", s.task},
                                         {"examples", s.examples},
                                         {"main", tasks::json_of(s.main)},
                                         {"metrics", tasks::json_of(s.metrics)}};
        if (s.loss) object["loss"] = *s.loss;
        fmt::print("{}\n", json_text(object));
        return;
    }
    const auto line = [](const std::string& name, std::optional<double> value) {
        fmt::print("{:<18}  {}\n", name, value ? fmt::format("{:.4f}", *value) : "not defined");
    };
    for (const auto& [name, value] : s.metrics) line(name, value);
    line("main", s.main);
    if (s.loss) line("loss", s.loss);
    fmt::print("{:<18}  {}\n", "examples", s.examples);
}

}  // namespace dropforge
