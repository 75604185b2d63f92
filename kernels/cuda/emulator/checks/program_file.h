// Debugging information of this program's file: the source lines of instructions, and the kernels in it. Runs nm and
// llvm-addr2line.
#pragma once

#include <map>
#include <string>

namespace dropforge::simt {

/// "file:line" of the call that returns to `site`, and of what it was inlined into: "device.cuh:130 < rows.cu:92". Only
/// lines of kernel files; "?" without debugging information. Starts a process: for reports, not in a loop.
std::string source_line(const void* site);

/// The CUDA backend's kernels in this program, functions named …_kernel: their names, without namespaces and
/// parameters.
std::map<const void*, std::string> kernels_of_program();

}  // namespace dropforge::simt
