// Whether cuDNN says that it has engines for the attentions and the feed-forward networks of the presets on GPUs that
// need not be here: it is told their properties. Skipped where cuDNN or its headers are not.
#include <doctest/doctest.h>

#include "tests/support/attention_shapes.h"
#ifdef DROPFORGE_CUDNN
#include <dlfcn.h>
#include <fmt/format.h>

#include "kernels/cuda/cudnn/cudnn_graphs.h"
#endif

namespace dropforge::kernels::on_cuda {
namespace {

#ifdef DROPFORGE_CUDNN
/// Public figures, as far as cuDNN asks for them.
struct Gpu {
    const char* name;
    int capability, sm_count, threads_of_sm, shared_of_sm, shared_of_block;
    int64_t cache, memory;
    int clock_khz, memory_clock_khz, blocks_of_sm;

    std::string json() const {
        return fmt::format(
            R"({{"cudaDeviceId": 0, "deviceVer": {}, "driverVer": 13000, "deviceName": "{}", "isTccDriver": 0,
                "l2CacheSize": {}, "maxCtasPerSM": {}, "maxRegistersPerSM": 65536, "maxSharedMemoryPerBlock": 49152,
                "maxSharedMemoryPerBlockOptin": {}, "maxSharedMemoryPerSM": {}, "maxThreadsPerBlock": 1024,
                "maxThreadsPerSM": {}, "memClockRateKHz": {}, "multiProcessorCount": {}, "pciDeviceId": 0,
                "regsPerBlock": 65536, "reservedSharedMemoryPerBlock": 1024, "smClockRateKHz": {},
                "supportCoopLaunch": 1, "totalGlobalMem": {}, "warpSize": 32,
                "maxGridSize": [2147483647, 65535, 65535], "maxBlockSize": [1024, 1024, 64]}})",
            10 * capability, name, cache, blocks_of_sm, shared_of_block, shared_of_sm, threads_of_sm, memory_clock_khz,
            sm_count, clock_khz, memory);
    }
};

const std::vector<Gpu>& gpus() {
    static const std::vector<Gpu> all = {
        {"A100", 80, 108, 2048, 167936, 166912, 41943040, 85000000000, 1410000, 1593000, 32},
        {"H100", 90, 132, 2048, 233472, 232448, 52428800, 85000000000, 1980000, 2619000, 32},
        {"B200", 100, 148, 2048, 233472, 232448, 132644864, 190000000000, 1965000, 3996000, 32},
        {"RTX 5090", 120, 170, 1536, 102400, 101376, 100663296, 34000000000, 2407000, 14001000, 24},
    };
    return all;
}

/// Opens cuDNN, and a libcuda that is not a driver's, without which cuDNN does not plan.
bool open_libraries() {
    const std::string toolkit = DROPFORGE_CUDA_TOOLKIT;
    const char* const flags = "libcudnn.so.9";
    void* driver = dlopen((toolkit + "/lib64/stubs/libcuda.so").c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (driver == nullptr) driver = dlopen((toolkit + "/lib/stubs/libcuda.so").c_str(), RTLD_NOW | RTLD_GLOBAL);
    void* cudnn = dlopen((toolkit + "/lib64/" + flags).c_str(), RTLD_NOW);
    if (cudnn == nullptr) cudnn = dlopen(flags, RTLD_NOW);
    if (driver == nullptr || cudnn == nullptr) return false;
    use_cudnn(cudnn);
    return true;
}

std::string support(const Gpu& gpu, const AttentionForward& a, Pass pass) {
    return CudnnAttention(AttentionShape(a), pass, gpu.capability).support(gpu.json());
}

TEST_CASE("cuDNN has engines for the attentions of all presets on all GPUs") {
    if (!open_libraries()) {
        MESSAGE("skipped: no libcudnn.so.9, or no stub of libcuda.so in the toolkit");
        return;
    }
    constexpr int64_t batch = 32;
    for (const Gpu& gpu : gpus()) {
        for (const test::AttentionHeads heads : test::kAttentionHeads) {
            for (const test::AttentionRows rows : test::kAttentionRows) {
                for (const float dropout : {0.0f, 0.1f}) {
                    const AttentionForward a = test::attention_of_preset(batch, heads, rows, dropout);
                    CAPTURE(gpu.name);
                    CAPTURE(rows.queries);
                    CAPTURE(rows.keys);
                    CAPTURE(dropout);
                    CHECK(support(gpu, a, Pass::forward) == "");
                    // With dropout there is no backward of fixed order on compute capability 10: our own kernels serve.
                    const bool own = gpu.capability == 100 && dropout > 0;
                    CHECK(support(gpu, a, Pass::backward).empty() == !own);
                }
            }
        }
    }
}

TEST_CASE("cuDNN has engines for the GEMMs with GELU of all presets on all GPUs") {
    if (!open_libraries()) {
        MESSAGE("skipped: no libcudnn.so.9, or no stub of libcuda.so in the toolkit");
        return;
    }
    constexpr int64_t rows = 32 * 128;
    for (const Gpu& gpu : gpus()) {
        for (const int64_t hidden : {128, 256, 512, 768, 1024}) {
            for (const bool slope : {false, true}) {
                for (const Gelu form : {Gelu::erf, Gelu::tanh}) {
                    for (const DType dtype : {DType::bf16, DType::fp16}) {
                        CAPTURE(gpu.name);
                        CAPTURE(hidden);
                        CAPTURE(slope);
                        const GeluGemm gemm{.m = rows,
                                            .n = 4 * hidden,
                                            .k = hidden,
                                            .lda = hidden,
                                            .ldb = slope ? 4 * hidden : hidden,
                                            .transpose_b = !slope,
                                            .bias = !slope,
                                            .slope = slope,
                                            .form = form,
                                            .dtype = dtype};
                        CHECK(CudnnGelu(gemm, gpu.capability).support(gpu.json()) == "");
                    }
                }
            }
        }
    }
}

TEST_CASE("cuDNN says why it does not take a shape") {
    if (!open_libraries()) return;
    const auto why = [](test::AttentionHeads heads, int gpu) {
        return support(gpus()[static_cast<size_t>(gpu)], test::attention_of_preset(2, heads, {128, 128}, 0),
                       Pass::backward);
    };
    CHECK(why({2, 65}, 1) != "");
    CHECK(why({2, 256}, 0) != "");
    CHECK(why({2, 256}, 1) == "");
}
#else
TEST_CASE("cuDNN has engines for the attentions of all presets on all GPUs") {
    MESSAGE("skipped: built without cuDNN's headers or cudnn-frontend (./dev setup cuda brings them)");
}
#endif

}  // namespace
}  // namespace dropforge::kernels::on_cuda
