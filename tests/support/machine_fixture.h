// A tree of /proc and /sys of some machine, to ask what a program would find there.
#pragma once

#include <fmt/format.h>

#include <fstream>
#include <string>

#include "tests/support/temporary_folder.h"

namespace dropforge::test {

class Machine {
  public:
    void file(const std::string& path, const std::string& text) {
        fs::create_directories((folder_ / path).parent_path());
        std::ofstream(folder_ / path) << text;
    }
    const fs::path& root() const { return folder_.path(); }

  private:
    TemporaryFolder folder_;
};

/// Its part of /proc/cpuinfo.
inline std::string processor(int id, int package, int core, const std::string& flags) {
    return fmt::format(
        "processor\t: {}\nmodel name\t: Test CPU 9\nphysical id\t: {}\ncore id\t\t: {}\nflags\t\t: fpu {} sse\n\n", id,
        package, core, flags);
}

}  // namespace dropforge::test
