#include "kernels/cuda/refuse.h"

#include "base/error.h"

namespace dropforge::kernels::on_cuda {

void refuse_launch(const char* reason, const char* file, unsigned line) {
    throw Error("{}:{}: launch: {}", file, line, reason);
}

void refuse_size(const char* what, int64_t size, int64_t limit) {
    throw Error("{} {}: the CUDA backend takes at most {}", size, what, limit);
}

}  // namespace dropforge::kernels::on_cuda
