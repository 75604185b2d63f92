#include "kernels/gemm_peak.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/philox.h"

namespace dropforge::kernels {

namespace {

/// Operands of a GEMM on the device: random numbers, as a GPU multiplies zeros and constants faster.
class Operand {
  public:
    Operand(int64_t elements, DType dtype, Context& context)
        : context_(context), bytes_(elements * static_cast<int64_t>(size_of(dtype))), data_(context.allocate(bytes_)) {}
    ~Operand() { context_.release(data_, bytes_); }
    Operand(const Operand&) = delete;
    Operand& operator=(const Operand&) = delete;

    void fill(DType dtype, uint64_t seed) {
        PhiloxStream random(seed, 0);
        std::vector<unsigned char> host(static_cast<size_t>(bytes_));
        with_float_type(dtype, [&](auto type) {
            using T = decltype(type);
            auto* values = reinterpret_cast<T*>(host.data());
            constexpr size_t kPeriod = 65521;  // prime, so that rows differ
            const size_t n = host.size() / sizeof(T), drawn = std::min(n, kPeriod);
            for (size_t i = 0; i < drawn; ++i) values[i] = static_cast<T>(static_cast<float>(random.uniform()) - 0.5f);
            for (size_t i = drawn; i < n; ++i) values[i] = values[i - drawn];
        });
        context_.upload(data_, host.data(), bytes_);
        context_.synchronize();
    }
    void* data() const { return data_; }

  private:
    Context& context_;
    int64_t bytes_;
    void* data_;
};

/// The rate of the largest GEMM for which there is memory.
constexpr int64_t kLeastSide = 1024;

}  // namespace

double gemm_peak_gflops(const KernelTable& table, DType dtype) {
    const std::unique_ptr<Context> context = table.create_context();
    const int64_t free = context->free_bytes(), runs = context->on_host() ? 1 : 4;
    int64_t n = context->on_host() ? 1536 : 8192;
    while (free >= 0 && n > kLeastSide && 3 * n * n * static_cast<int64_t>(size_of(dtype)) > free - free / 4) n /= 2;
    constexpr double kSeconds = 0.15;
    const double flops = 2.0 * static_cast<double>(runs) * static_cast<double>(n * n) * static_cast<double>(n);
    Operand a(n * n, dtype, *context), b(n * n, dtype, *context), c(n * n, dtype, *context);
    a.fill(dtype, 1);
    b.fill(dtype, 2);
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
    table.gemm(g, *context);  // warm-up: allocates, wakes threads, chooses an algorithm
    context->synchronize();
    using Clock = std::chrono::steady_clock;
    const Clock::time_point start = Clock::now();
    double best = 0;
    do {
        const Clock::time_point begin = Clock::now();
        for (int64_t i = 0; i < runs; ++i) table.gemm(g, *context);
        context->synchronize();
        best = std::max(best, flops / std::chrono::duration<double>(Clock::now() - begin).count());
    } while (std::chrono::duration<double>(Clock::now() - start).count() < kSeconds);
    return best * 1e-9;
}

}  // namespace dropforge::kernels
