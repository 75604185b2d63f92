// Curves of runs' validation loss over the number of tokens trained on: reading and drawing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/file.h"

namespace dropforge {

/// An evaluation.
struct LossPoint {
    int64_t step;
    double tokens;  // number of tokens trained on
    double loss;    // nats for a masked token
};

/// The curve of a run. Curves of one label are drawn alike.
struct LossCurve {
    std::string label, run;
    std::vector<LossPoint> points;  // one or more, by tokens
};

/// Reads the evaluations in RUN/metrics.jsonl, also of an unfinished run. Error if there is none.
LossCurve read_loss_curve(const std::string& label, const std::string& run);

/// A diagram of 80 columns in characters of ASCII, and below it a line for each run: its mark, label, folder and last
/// loss.
std::string curves_as_text(const std::vector<LossCurve>& curves);
/// The diagram as an SVG file.
std::string curves_as_svg(const std::vector<LossCurve>& curves);

}  // namespace dropforge
