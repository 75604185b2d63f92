// The errors of kernel files. Their messages are made in refuse.cpp: nvcc 13 cannot read fmt.
#pragma once

#include <cstdint>

namespace dropforge::kernels::on_cuda {

/// Error: the launch at file:line was refused, for that reason.
[[noreturn]] void refuse_launch(const char* reason, const char* file, unsigned line);
/// Error: there are `size` of `what`, and at most `limit` are possible.
[[noreturn]] void refuse_size(const char* what, int64_t size, int64_t limit);

}  // namespace dropforge::kernels::on_cuda
