// What errors a test has seen, for people: a table in the build folder.
#pragma once

#include <fstream>
#include <string>

#include "base/file.h"
#include "tests/support/paths.h"

namespace dropforge::test {

inline std::ofstream error_table(const std::string& file, const std::string& columns) {
    std::ofstream table(fs::path(kPrograms).parent_path() / file);
    table << columns << '\n';
    return table;
}

}  // namespace dropforge::test
