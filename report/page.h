// The report: one HTML file that needs no other, no network and no scripts.
#pragma once

#include <string>
#include <vector>

#include "report/reported_run.h"

namespace dropforge::report {

/// `written`: when, and by what. `refresh`: seconds after which a browser loads it again; 0: never.
std::string page(const std::vector<ReportedRun>& runs, const std::string& written, int refresh);

/// Reads the runs (read_runs) and writes their page, as a whole. `revision`: of the program's source.
void write_page(const fs::path& file, const std::vector<std::string>& runs, const std::string& revision,
                int refresh = 0);

}  // namespace dropforge::report
