// The interface of the mock of cuBLASLt for tests.
#pragma once

#include <cstdint>

namespace dropforge::simt {

/// Number of GEMMs that the mock has computed in this process.
int64_t& cublaslt_runs();

}  // namespace dropforge::simt
