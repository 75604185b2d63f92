// What tests may know of the cuBLASLt that has no GPU.
#pragma once

#include <cstdint>

namespace dropforge::simt {

/// Products that it has made in this process.
int64_t& cublaslt_runs();

}  // namespace dropforge::simt
