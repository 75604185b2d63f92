#include "kernels/cuda/runtime/find_device.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include "kernels/cuda/runtime/check_rows.cuh"
#include "kernels/cuda/runtime/workspace.h"

namespace dropforge::kernels::on_cuda {

namespace {

constexpr int kDevice = 0;
constexpr int kLeastCapability = 75;
/// Bytes of the kernels' and libraries' code, which CUDA loads at the first call; estimated on the safe side.
constexpr int64_t kCode = 256 << 20;
/// Contexts that exist at once: the run's, and the one that measures the peak rate of GEMM meanwhile.
constexpr int64_t kContexts = 2;

std::string version(int number) { return fmt::format("{}.{}", number / 1000, number % 1000 / 10); }
std::string capability(int number) { return fmt::format("{}.{}", number / 10, number % 10); }

int attribute(cudaDeviceAttr which) {
    int value = 0;
    return cudaDeviceGetAttribute(&value, which, kDevice) == cudaSuccess ? value : 0;
}

/// Why the GPU's compute mode forbids its use.
std::string busy() {
    switch (attribute(cudaDevAttrComputeMode)) {
        case cudaComputeModeProhibited:
            return "the GPU's compute mode is prohibited: nobody may compute on it (nvidia-smi --compute-mode)";
        case cudaComputeModeExclusive:
        case cudaComputeModeExclusiveProcess:
            return "the GPU's compute mode is exclusive, and another process has it (nvidia-smi lists it)";
        default:
            return "the GPU is busy or has failed (nvidia-smi tells): all CUDA devices are unavailable "
                   "(cudaErrorDevicesUnavailable)";
    }
}

/// One line for the error with which CUDA answered the search for devices.
std::string reason(cudaError_t status, int driver, int runtime) {
    switch (status) {
        case cudaErrorNoDevice:
            return "CUDA sees no GPU on this machine (CUDA_VISIBLE_DEVICES may hide it)";
        case cudaErrorInsufficientDriver:
            if (driver == 0) return "there is no NVIDIA driver on this machine";
            return fmt::format("the NVIDIA driver is for CUDA {}, this program needs one for CUDA {} or newer",
                               version(driver), version(runtime));
        case cudaErrorStubLibrary:
            return "the libcuda that was found is the toolkit's stub, not a driver's";
        case cudaErrorDevicesUnavailable:
            return busy();
        case cudaErrorMemoryAllocation:
            return "the GPU's memory is full: other processes hold it (nvidia-smi lists them)";
        default:
            return fmt::format("CUDA cannot be used: {} ({})", cudaGetErrorString(status), cudaGetErrorName(status));
    }
}

/// Why this program cannot use a GPU that CUDA can use; empty if it can.
std::string unfit(const CudaDevice& device) {
    const std::string capability_text = capability(device.compute_capability);
    if (device.compute_capability < kLeastCapability)
        return fmt::format("the GPU, {}, has compute capability {}; {} is needed", device.name, capability_text,
                           capability(kLeastCapability));
    const cudaError_t status = find_code();
    if (status == cudaErrorNoKernelImageForDevice)
        return fmt::format(
            "this program has no code for the compute capability {} of the GPU, {}: build it with "
            "-DDROPFORGE_CUDA_ARCHITECTURES={}",
            capability_text, device.name, device.compute_capability);
    if (status == cudaErrorUnsupportedPtxVersion)
        return fmt::format(
            "the NVIDIA driver, for CUDA {}, cannot translate this program's code for the compute capability {} of the "
            "GPU, {}: a driver for CUDA {} can",
            version(device.driver), capability_text, device.name, version(device.runtime));
    return status == cudaSuccess ? "" : reason(status, device.driver, device.runtime);
}

}  // namespace

std::optional<CudaDevice> find_cuda_device(std::string& why_not) {
    CudaDevice device;
    int devices = 0;
    cudaError_t status = cudaDriverGetVersion(&device.driver);
    if (status == cudaSuccess) status = cudaRuntimeGetVersion(&device.runtime);
    if (status == cudaSuccess) status = cudaGetDeviceCount(&devices);
    if (status == cudaSuccess && devices == 0) status = cudaErrorNoDevice;
    cudaDeviceProp properties{};
    if (status == cudaSuccess) status = cudaGetDeviceProperties(&properties, kDevice);
    if (status == cudaSuccess) status = cudaSetDevice(kDevice);
    size_t free = 0, total = 0;
    if (status == cudaSuccess) status = cudaMemGetInfo(&free, &total);
    if (status != cudaSuccess) {
        cudaGetLastError();  // clears the error, which the next call would report
        why_not = reason(status, device.driver, device.runtime);
        return std::nullopt;
    }
    device.name = properties.name;
    device.compute_capability = 10 * properties.major + properties.minor;
    device.memory = static_cast<int64_t>(total);
    device.free_memory = static_cast<int64_t>(free);
    device.sm_count = properties.multiProcessorCount;
    device.clock_mhz = attribute(cudaDevAttrClockRate) / 1e3;
    device.memory_bus_bits = attribute(cudaDevAttrGlobalMemoryBusWidth);
    device.memory_gb_per_s = 2 * attribute(cudaDevAttrMemoryClockRate) * 1e3 * device.memory_bus_bits / 8 / 1e9;
    device.reserve = kContexts * kWorkspaceBytes + kCode;
    why_not = unfit(device);
    if (!why_not.empty()) {
        cudaGetLastError();
        return std::nullopt;
    }
    return device;
}

}  // namespace dropforge::kernels::on_cuda
