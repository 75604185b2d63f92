#include "report/run_metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "model/methods/option_tables.h"

namespace dropforge::report {

namespace {

using Json = nlohmann::ordered_json;  // keys in the order of the file

constexpr double kAbsent = std::numeric_limits<double>::quiet_NaN();
constexpr double kMostTokens = 1e18, kHighestLoss = 1e6;  // what is only just finite has no place in a diagram

/// NaN unless it is a number in that range.
double number(const Json& line, const char* key, double least, double most) {
    const auto found = line.find(key);
    if (found == line.end() || !found->is_number()) return kAbsent;
    const double value = found->get<double>();
    return value >= least && value <= most ? value : kAbsent;
}

struct Lines {
    std::map<int64_t, LoggedStep> steps;
    std::map<int64_t, LoggedEvaluation> evaluations;

    void add(int64_t step, const Json& line) {
        constexpr double kMost = std::numeric_limits<double>::max();
        if (const double tokens = number(line, "tokens", 1, kMostTokens); !std::isnan(tokens))
            steps[step] = {.step = step,
                           .tokens = tokens,
                           .loss = number(line, "loss", 0, kHighestLoss),
                           .gradient_norm = number(line, "grad_norm", 0, kHighestLoss),
                           .learning_rate = number(line, "lr", 0, kMost),
                           .tokens_per_second = number(line, "tokens_per_second", 1e-9, kMostTokens),
                           .mfu = number(line, "mfu", 0, kMost)};
        if (const double loss = number(line, "eval_loss", 0, kHighestLoss); !std::isnan(loss))
            evaluations[step] = {step, loss, number(line, "eval_accuracy", 0, 1)};
    }
};

/// The step of a line; absent if it is not a JSON object with the number of a step that a run can have.
std::optional<int64_t> step_of(const Json& line) {
    if (!line.is_object() || !line.contains("step") || !line["step"].is_number_integer()) return {};
    const auto step = line["step"].get<int64_t>();
    if (step < 1 || static_cast<double>(step) > config::kMany) return {};
    return step;
}

/// Seconds of training until each logged step; an interval without a speed has that of the next.
std::vector<Point> seconds_of(const std::vector<LoggedStep>& steps) {
    std::vector<Point> seconds = {{0, 0}};
    double before = 0;
    for (const LoggedStep& step : steps) {
        if (std::isnan(step.tokens_per_second)) continue;
        const double tokens = std::max(step.tokens - before, 0.0);
        seconds.push_back({static_cast<double>(step.step), seconds.back().y + tokens / step.tokens_per_second});
        before = step.tokens;
    }
    return seconds;
}

}  // namespace

LabelledRun LabelledRun::parse(const std::string& argument) {
    const size_t mark = argument.find('=');
    if (mark == std::string::npos || fs::exists(argument)) return {"", argument};
    require(mark > 0, "expected RUN or LABEL=RUN, got {}", argument);
    return {argument.substr(0, mark), argument.substr(mark + 1)};
}

void read_metrics_lines(const fs::path& run, const MetricsLineReader& read) {
    const fs::path file = run / "metrics.jsonl";
    require(fs::exists(file), "{}: expected the folder of a run, with metrics.jsonl", run.string());
    const std::string text = read_text(file);
    int64_t line_number = 1;
    for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1, ++line_number) {
        const Json line = Json::parse(std::string_view(text).substr(begin, end - begin), nullptr, false);
        const std::optional<int64_t> step = step_of(line);
        require(step.has_value(), "{}:{}: expected a JSON object with a step", file.string(), line_number);
        read(*step, line);
    }
}

RunMetrics::RunMetrics(const fs::path& run) {
    Lines lines;
    read_metrics_lines(run, [&](int64_t step, const Json& line) { lines.add(step, line); });
    for (const auto& step : lines.steps) steps_.push_back(step.second);
    for (const auto& evaluation : lines.evaluations) evaluations_.push_back(evaluation.second);
    seconds_ = seconds_of(steps_);
}

int64_t RunMetrics::last_step() const {
    const int64_t logged = steps_.empty() ? 0 : steps_.back().step;
    return evaluations_.empty() ? logged : std::max(logged, evaluations_.back().step);
}

double RunMetrics::tokens_at(double step) const {
    const auto next = std::ranges::lower_bound(steps_, step, {}, &LoggedStep::step);
    const LoggedStep& known = next != steps_.end() ? *next : steps_.back();
    return known.tokens * step / static_cast<double>(known.step);
}

double RunMetrics::seconds_at(double step) const {
    const Point last = seconds_.back();
    return step > last.x && last.x > 0 ? last.y * step / last.x : value_at(seconds_, step);
}

}  // namespace dropforge::report
