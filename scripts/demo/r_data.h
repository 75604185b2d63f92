// The data of an R package: a file of compressed values (Rdata.rdb) and its index (Rdata.rdx), both in R's
// serialisation ("R Internals", sections 1.8 and 1.18), as far as vectors, lists and their names go.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"

namespace dropforge::demo {

/// A variable that is a vector of strings; a missing one (NA) is empty.
struct RStrings {
    std::string name;
    std::vector<std::string> values;
};

/// Those in `folder`, in the order of the index. Throws Error, with the file, where one is damaged or of another kind.
std::vector<RStrings> read_r_package(const fs::path& folder);

}  // namespace dropforge::demo
