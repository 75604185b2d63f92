// Declarations of tests to the observer of kernels' memory accesses (observer.h), if there is one; no-ops where kernels
// are not emulated.
#pragma once

#if DROPFORGE_CUDA_EMULATED
#include "kernels/cuda/emulator/simt.h"
#else
#include <cstddef>
#include <string>

namespace dropforge::simt {
inline bool observed() { return false; }
inline void declare_unwritten(const void*, size_t) {}
inline void declare_written(const void*, size_t) {}
inline void declare_all_written() {}
inline std::string complaints() { return {}; }
}  // namespace dropforge::simt
#endif
