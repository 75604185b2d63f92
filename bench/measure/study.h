// The run that `bench step` measures and `bench predict` predicts: its options, and what its method's steps come to.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <vector>

#include "model/run/plan.h"

namespace dropforge {

struct Study {
    std::string model;
    std::string command = {};                       // in errors, as it was typed
    std::map<std::string, std::string> given = {};  // configuration key → value
    std::vector<std::string> settings = {};         // --set
};

/// --model, --method, --batch … of `command`.
void add_study_options(CLI::App& command, Study& study);

/// A preset with a batch that fits everywhere, or a configuration as it is, with the vocabulary of its data.
RunConfig run_config(const Study& study);

/// A run whose Programs are those of the kinds of step that its method is about, and of dense steps too where these are
/// to be looked at beside them.
RunPlan plan_study(const Study& study, Device device, bool dense_too = false);

/// Mean over the method's own steps of a figure of each kind of step.
template <typename Figure>
double over_period(const Method& method, const Figure& figure) {
    double mean = 0;
    for (uint32_t i = 0; i < method.kinds().size(); ++i)
        if (const double share = method.share(StepKind{i}); share > 0) mean += share * figure(StepKind{i});
    return mean;
}

}  // namespace dropforge
