// The run that `bench step` measures and `bench predict` predicts: its options, and what its method's steps come to.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <vector>

#include "model/run/config.h"
#include "model/training/step_programs.h"

namespace dropforge {

struct Study {
    std::string model;
    std::string command = {};                       // in errors, as it was typed
    std::map<std::string, std::string> given = {};  // configuration key → value
    std::vector<std::string> settings = {};         // --set
};

/// --model, --method, --batch … of `command`.
void add_study_options(CLI::App& command, Study& study);

/// A preset with a batch that fits everywhere, or a configuration as it is, with the vocabulary of its data. The run is
/// long enough to have all the kinds of steps of its method, and dense ones too if they are to be looked at beside
/// them.
RunConfig run_config(const Study& study, bool against_dense = false);

/// What share of a period of the method's own steps is of which kind: with ScTD interval - 1 steps with dropped tokens
/// and one that aligns.
std::map<StepKind, double> shares_of_kinds(const RunConfig& config);

/// Mean over a period of a figure of each kind of step.
template <typename Figure>
double over_period(const RunConfig& config, const Figure& figure) {
    double mean = 0;
    for (const auto& [kind, share] : shares_of_kinds(config)) mean += share * figure(kind);
    return mean;
}

}  // namespace dropforge
