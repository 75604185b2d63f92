// How much sooner a run reaches a loss than a dense one.
#pragma once

#include <optional>
#include <vector>

#include "report/reported_run.h"

namespace dropforge::report {

/// The first x at which a curve, straight between its points, is not above `level`; none if it never is.
std::optional<double> first_reaches(const std::vector<Point>& curve, double level);

/// A run beside a dense one.
struct TimeToLoss {
    size_t run, dense;            // places among the runs
    double loss;                  // the worse of the two runs' lowest validation losses: both reach it
    double run_step, dense_step;  // at which they first do, by straight lines between evaluations
};

/// Of each run with evaluations that is not dense, beside the dense run that is evaluated alike (keys of [data] but its
/// path) and has the most keys in common with it; none for runs without such a dense one.
std::vector<TimeToLoss> times_to_loss(const std::vector<ReportedRun>& runs);

/// 1 − x of the run / x of the dense one, at that loss.
double saving(const std::vector<ReportedRun>& runs, const TimeToLoss& time, Against against);

}  // namespace dropforge::report
