// The parts of a report, each a <section> of HTML, or "" where no run has anything to show there.
#pragma once

#include <string>
#include <vector>

#include "report/reported_run.h"

namespace dropforge::report {

using Runs = std::vector<ReportedRun>;

/// The name of a run beside a line as diagrams draw it.
std::string marked_name(const ReportedRun& run);

std::string runs_section(const Runs& runs);
/// Training and validation loss against steps, tokens, executed FLOPs and time.
std::string loss_section(const Runs& runs);
std::string time_to_loss_section(const Runs& runs);
/// Throughput, MFU, gradient norm and learning rate.
std::string speed_section(const Runs& runs);
/// Time by op, of runs with a trace.json.
std::string op_section(const Runs& runs);
/// The memory plan of the largest Program of each run, equal ones once.
std::string memory_section(const Runs& runs);
/// Sequences of the step after the newest checkpoint, coloured by its importance table.
std::string token_section(const Runs& runs);
/// The keys in which the configurations differ.
std::string difference_section(const Runs& runs);
/// The command that makes each run.
std::string command_section(const Runs& runs);

}  // namespace dropforge::report
