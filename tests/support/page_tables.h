// The tables of a page of docs/.
#pragma once

#include <doctest/doctest.h>

#include <fstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "tests/support/paths.h"

namespace dropforge::test {

/// A table's row, its cells without backticks at their ends.
using PageRow = std::vector<std::string>;

inline PageRow cells_of(const std::string& line) {
    PageRow row;
    std::string cell;
    for (const char c : line.substr(2)) {
        if (c != '|') {
            cell += c;
            continue;
        }
        const size_t first = cell.find_first_not_of(" `"), last = cell.find_last_not_of(" `");
        row.push_back(first == std::string::npos ? "" : cell.substr(first, last - first + 1));
        cell.clear();
    }
    return row;
}

/// The rows of docs/PAGE's tables: those below `section` whose header begins with `header`.
inline std::vector<PageRow> rows_of_page(const char* page, const std::string& section, const std::string& header) {
    std::ifstream file(fs::path(kTestData).parent_path().parent_path() / "docs" / page);
    REQUIRE(file.good());
    std::vector<PageRow> rows;
    std::string title, first;
    for (std::string line, before; std::getline(file, line); before = line) {
        if (line.starts_with("## ")) title = line.substr(3);
        if (line.starts_with("| ---")) first = cells_of(before)[0];
        if (line.starts_with("| `") && title == section && first == header) rows.push_back(cells_of(line));
    }
    REQUIRE(!rows.empty());
    return rows;
}

}  // namespace dropforge::test
