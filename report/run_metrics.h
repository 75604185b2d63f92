// metrics.jsonl of a run, read for curves and tables.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "report/thinning.h"

namespace dropforge::report {

/// RUN or LABEL=RUN, as commands take runs; the whole is a folder if there is one of that name.
struct LabelledRun {
    std::string label;  // "": none was given
    std::string folder;

    /// Throws Error for a label without letters.
    static LabelledRun parse(const std::string& argument);
};

using MetricsLineReader = std::function<void(int64_t step, const nlohmann::ordered_json& line)>;

/// Gives `read` each line of RUN/metrics.jsonl in turn; a last line without its end, as of a run that goes on, is none.
/// Throws Error if the folder has no such file, and naming file and line for a line that is not a JSON object with the
/// number of a step.
void read_metrics_lines(const fs::path& run, const MetricsLineReader& read);

/// A training step that was logged. NaN: the line does not have the number, or it was not finite.
struct LoggedStep {
    int64_t step;
    double tokens;  // since the start of the run
    double loss, gradient_norm, learning_rate, tokens_per_second, mfu;
};

struct LoggedEvaluation {
    int64_t step;
    double loss, accuracy;
};

/// What curves need of the lines, also of a run that goes on.
class RunMetrics {
  public:
    /// Of two lines of one step the later counts. Errors are those of read_metrics_lines().
    explicit RunMetrics(const fs::path& run);

    const std::vector<LoggedStep>& steps() const { return steps_; }
    const std::vector<LoggedEvaluation>& evaluations() const { return evaluations_; }
    /// Of all lines.
    int64_t last_step() const;
    /// Tokens until a step, all of which have as many. Some step has been logged.
    double tokens_at(double step) const;
    /// Seconds of training until a step, by the speeds that were logged: evaluations, checkpoints and the time in which
    /// the run was stopped are not in it.
    double seconds_at(double step) const;

  private:
    std::vector<LoggedStep> steps_;
    std::vector<LoggedEvaluation> evaluations_;
    std::vector<Point> seconds_;  // by step
};

}  // namespace dropforge::report
