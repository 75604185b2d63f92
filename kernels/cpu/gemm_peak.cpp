#include "kernels/cpu/gemm_peak.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "kernels/cpu/context.h"
#include "kernels/cpu/functions.h"

namespace dropforge::kernels::on_cpu {

double gemm_peak_gflops(DType dtype) {
    constexpr int64_t n = 1536;
    constexpr double kFlops = 2.0 * n * n * n, kSeconds = 0.15;
    const size_t bytes = static_cast<size_t>(n * n) * size_of(dtype);
    // All bytes 0x3c: 0.0115 in both float types, so the sums are ordinary numbers.
    const std::vector<unsigned char> a(bytes, 0x3c), b(bytes, 0x3c);
    std::vector<unsigned char> c(bytes);
    CpuContext context;
    const Gemm g{.a = a.data(),
                 .b = b.data(),
                 .c = c.data(),
                 .bias = nullptr,
                 .m = n,
                 .n = n,
                 .k = n,
                 .lda = n,
                 .ldb = n,
                 .ldc = n,
                 .transpose_a = false,
                 .transpose_b = true,
                 .accumulate = false,
                 .dtype = dtype,
                 .out = dtype};
    using Clock = std::chrono::steady_clock;
    const Clock::time_point start = Clock::now();
    double best = 0;
    // The first product packs into fresh memory and wakes the threads: it is never the best.
    do {
        const Clock::time_point begin = Clock::now();
        gemm(g, context);
        best = std::max(best, kFlops / std::chrono::duration<double>(Clock::now() - begin).count());
    } while (std::chrono::duration<double>(Clock::now() - start).count() < kSeconds);
    return best * 1e-9;
}

}  // namespace dropforge::kernels::on_cpu
