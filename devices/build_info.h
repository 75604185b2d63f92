// The build of a program, as --version prints it.
#pragma once

#include <string>

namespace dropforge {

/// Lines for people: program and version, git revision, compiler and build type, instruction sets, libraries, backends.
std::string build_info(const std::string& program, const std::string& revision, const std::string& backends);

}  // namespace dropforge
