// The numbers of runs' metrics.jsonl as a table.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "report/run_metrics.h"

namespace dropforge::report {

/// A row for each step of which any of the runs has a line, a column for each number of a run; where a step has several
/// lines, such as one of training and one of an evaluation, and both have a number, the later counts.
class MetricsTable {
  public:
    /// Reads runs, each RUN or LABEL=RUN. A column has the name of its number in metrics.jsonl, among several runs
    /// "LABEL - NAME" with RUN where there is no label. Throws Error for two runs of one name, a run without a line,
    /// and as read_metrics_lines() does.
    explicit MetricsTable(const std::vector<std::string>& runs);

    size_t rows() const { return rows_.size(); }
    /// Comma-separated values (RFC 4180, but with \n): the names, then a line for each row, by steps. Numbers read back
    /// exactly; a number that the row does not have, or that was not finite, is empty.
    std::string csv() const;
    /// An object for each row, with the numbers that it has.
    nlohmann::ordered_json json() const;

  private:
    void add(const std::string& prefix, const fs::path& run);

    std::vector<std::string> columns_;  // but the first, step
    std::map<int64_t, std::vector<nlohmann::ordered_json>>
        rows_;  // step -> numbers or null; may end before the columns
};

}  // namespace dropforge::report
