// All that a report says of a run: what its folder holds, and what follows from its configuration.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/run/folder.h"
#include "model/run/plan.h"
#include "report/run_metrics.h"

namespace dropforge::report {

/// What a loss is drawn against.
enum class Against : uint8_t { steps, tokens, flops, seconds };

struct ReportedRun {
    std::string name;
    fs::path folder;
    RunMetrics metrics;                    // one or more steps
    std::optional<RunConfig> config;       // of config.toml
    std::optional<Checkpoint> checkpoint;  // the newest
    std::shared_ptr<const RunPlan> plan;   // on this machine's CPU; none where the vocabulary is gone
    std::vector<Point> flops;              // executed until a step; empty without a plan
    size_t style = 0;                      // in diagrams

    /// Whether x_at() knows it.
    bool has(Against against) const { return against != Against::flops || !flops.empty(); }
    /// What the run had done after `step` steps, which may be a fraction.
    double x_at(double step, Against against) const;
    std::vector<Point> validation_loss(Against against) const;
    std::vector<Point> training_loss(Against against) const;
};

/// Reads runs, and makes the plan of those that have equal ones once.
class RunReader {
  public:
    /// Throws Error for what is no run folder, a damaged file, and a run that has not logged a step yet.
    ReportedRun read(const std::string& name, const fs::path& folder);

  private:
    std::shared_ptr<const RunPlan> plan(const ReportedRun& run);

    std::map<std::string, std::shared_ptr<const RunPlan>> plans_;
};

/// RUN, or LABEL=RUN, of a command line; without a label, the last parts of the folders that tell them apart.
/// Runs of one name are drawn alike, those of one method where there are more names than styles.
std::vector<ReportedRun> read_runs(const std::vector<std::string>& arguments);

}  // namespace dropforge::report
