// The report: one HTML file that needs no other, no network and no scripts.
#pragma once

#include <string>
#include <vector>

#include "report/reported_run.h"
#include "report/task_results.h"

namespace dropforge::report {

struct Reported {
    std::vector<ReportedRun> runs = {};
    std::vector<TaskResults> models = {};  // on tasks
};

/// `written`: when, and by what. `refresh`: seconds after which a browser loads it again; 0: never.
std::string page(const Reported& reported, const std::string& written, int refresh);

/// What a page is of, as a command line names it (read_runs, read_task_results).
struct PageSources {
    std::vector<std::string> runs = {}, tasks = {};
};

/// Reads all and writes the page, as a whole. `revision`: of the program's source.
void write_page(const fs::path& file, const PageSources& sources, const std::string& revision, int refresh = 0);

}  // namespace dropforge::report
