// metrics.jsonl of a run, read for curves.
#pragma once

#include <cstdint>
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

/// The lines that are there, also of a run that goes on: its last line may be cut.
class RunMetrics {
  public:
    /// Throws Error if the folder has no metrics.jsonl, and naming file and line for a line that is not a JSON object
    /// with a step. Of two lines of one step the later counts.
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
