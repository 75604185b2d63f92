// The run that `bench step` measures and `bench predict` predicts: its options and its plan.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <vector>

#include "model/run/plan.h"

namespace dropforge {

/// The options of a study.
struct Study {
    std::string model;
    std::string command = {};                       // as it was typed, for errors
    std::map<std::string, std::string> given = {};  // configuration key → value
    std::vector<std::string> settings = {};         // --set
};

/// Adds --model, --method, --batch … to `command`.
void add_study_options(CLI::App& command, Study& study);

/// The configuration: of a preset with a batch that fits everywhere, or of a file, with the vocabulary of its data.
RunConfig run_config(const Study& study);

/// The plan of a run with Programs for the kinds of step of its method, and, if `dense_too`, for dense steps.
RunPlan plan_study(const Study& study, Device device, bool dense_too = false);

/// The mean over the method's steps of a figure that each kind of step has.
template <typename Figure>
double over_period(const Method& method, const Figure& figure) {
    double mean = 0;
    for (uint32_t i = 0; i < method.kinds().size(); ++i)
        if (const double share = method.share(StepKind{i}); share > 0) mean += share * figure(StepKind{i});
    return mean;
}

}  // namespace dropforge
