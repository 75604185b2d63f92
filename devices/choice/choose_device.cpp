#include "devices/choice/choose_device.h"

#include <fmt/format.h>

#include <optional>

#include "base/error.h"
#ifdef DROPFORGE_CUDA_BACKEND
#include "kernels/cuda/backend.h"
#endif

namespace dropforge {

namespace {

#ifdef DROPFORGE_CUDA_BACKEND
constexpr const char* kBackends = "cpu; cuda by " DROPFORGE_CUDA_BACKEND;

/// The first GPU, or nothing with the reason in `why_not`.
std::optional<Device> cuda_device(std::string& why_not) {
    const auto gpu = kernels::on_cuda::find_cuda_device(why_not);
    if (!gpu) return std::nullopt;
    const auto version = [](int number) { return fmt::format("{}.{}", number / 1000, number % 1000 / 10); };
    return Device{
        .kernels = &kernels::cuda(),
        .kind = "cuda",
        .model = gpu->name,
        .text = fmt::format("{}, compute capability {}.{}, {} SMs, {:.1f} of {:.1f} GB free; "
                            "CUDA {}, driver for {}",
                            gpu->name, gpu->compute_capability / 10, gpu->compute_capability % 10, gpu->sm_count,
                            static_cast<double>(gpu->free_memory) / 1e9, static_cast<double>(gpu->memory) / 1e9,
                            version(gpu->runtime), version(gpu->driver)),
        .bf16 = gpu->compute_capability >= 80,
        .compute_capability = gpu->compute_capability,
        .available = gpu->free_memory,
        .memory = gpu->memory,
        .reserve = gpu->reserve,
        .tf32 = gpu->compute_capability >= 80 ? &kernels::cuda_tf32() : nullptr};
}
#else
constexpr const char* kBackends = "cpu";

std::optional<Device> cuda_device(std::string& why_not) {
    why_not = "this program was built without nvcc";
    return std::nullopt;
}
#endif

}  // namespace

std::string backends() { return kBackends; }

Device choose_device(const std::string& requested) {
    if (requested == "cpu") return cpu_device();
    std::string why_not;
    std::optional<Device> gpu = cuda_device(why_not);
    require(gpu || requested != "cuda", "--device cuda: {}", why_not);
    if (gpu) return *gpu;
    Device cpu = cpu_device();
    cpu.text += fmt::format(" (no GPU: {})", why_not);
    return cpu;
}

void add_device(CLI::App& command, std::string& name) {
    command.add_option("--device", name, "Device to compute on; auto: a GPU if there is one")
        ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
        ->capture_default_str();
}

void add_tf32(CLI::App& command, bool& tf32) {
    command.add_flag(
        "--tf32", tf32,
        "Compute f32 GEMMs on a GPU's TF32 tensor cores: much faster, operands rounded to 10 bits of fraction");
}

}  // namespace dropforge
