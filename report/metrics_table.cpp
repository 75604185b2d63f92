#include "report/metrics_table.h"

#include <algorithm>
#include <set>

#include "base/error.h"

namespace dropforge::report {

namespace {

using Json = nlohmann::ordered_json;

/// A field of a line of CSV.
std::string field(const std::string& text) {
    if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
    std::string quoted = "\"";
    for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
    return quoted + '"';
}

}  // namespace

MetricsTable::MetricsTable(const std::vector<std::string>& runs) {
    std::set<std::string> names;
    for (const std::string& argument : runs) {
        const auto [label, folder] = LabelledRun::parse(argument);
        const std::string& name = label.empty() ? folder : label;
        require(names.insert(name).second, "two runs are called {}: LABEL=RUN gives one another name", name);
        add(runs.size() > 1 ? name + " - " : "", folder);
    }
}

void MetricsTable::add(const std::string& prefix, const fs::path& run) {
    std::map<std::string, size_t> column_of;
    int64_t lines = 0;
    read_metrics_lines(run, [&](int64_t step, const Json& line) {
        std::vector<Json>& row = rows_[step];
        ++lines;
        for (const auto& [name, value] : line.items()) {
            if (name == "step" || !(value.is_number() || value.is_null())) continue;
            const auto [column, added] = column_of.try_emplace(name, columns_.size());
            if (added) columns_.push_back(prefix + name);
            row.resize(std::max(row.size(), column->second + 1));
            row[column->second] = value;
        }
    });
    require(lines > 0, "{}: no line yet: log.every says how often a run writes one", (run / "metrics.jsonl").string());
}

std::string MetricsTable::csv() const {
    std::string text = "step";
    for (const std::string& name : columns_) text += ',' + field(name);
    for (const auto& [step, row] : rows_) {
        text += '\n' + std::to_string(step);
        for (size_t column = 0; column < columns_.size(); ++column) {
            text += ',';
            if (column < row.size() && !row[column].is_null()) text += row[column].dump();
        }
    }
    return text + '\n';
}

Json MetricsTable::json() const {
    Json table = Json::array();
    for (const auto& [step, row] : rows_) {
        Json object = {{"step", step}};
        for (size_t column = 0; column < row.size(); ++column)
            if (!row[column].is_null()) object[columns_[column]] = row[column];
        table.push_back(std::move(object));
    }
    return table;
}

}  // namespace dropforge::report
