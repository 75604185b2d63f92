// The source line of an instruction of this program.
#pragma once

#include <string>

namespace dropforge::simt {

/// "file:line" of the call that returns to `site`, and of what it was inlined into: "device.cuh:130 < rows.cu:92". Only
/// lines of kernel files; "?" without debugging information. Runs binutils' addr2line: for reports, not in a loop.
std::string source_line(const void* site);

}  // namespace dropforge::simt
