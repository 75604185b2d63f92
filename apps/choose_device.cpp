#include "apps/choose_device.h"

#include <fmt/format.h>

#include <optional>

#include "base/error.h"
#ifdef DROPFORGE_CUDA_BACKEND
#include "kernels/cuda/find_device.h"
#endif

namespace dropforge {

namespace {

#ifdef DROPFORGE_CUDA_BACKEND
/// The first GPU, or none and why not.
std::optional<Device> cuda_device(std::string& why_not) {
    const std::optional<kernels::CudaDevice> gpu = kernels::find_cuda_device(why_not);
    if (!gpu) return std::nullopt;
    return Device{.kernels = &kernels::cuda(),
                  .kind = "cuda",
                  .model = gpu->name,
                  .text = gpu->text(),
                  .bf16 = gpu->bf16(),
                  .available = gpu->memory_free};
}
#else
std::optional<Device> cuda_device(std::string& why_not) {
    why_not = "this program was built without nvcc";
    return std::nullopt;
}
#endif

}  // namespace

Device choose_device(const std::string& wanted) {
    if (wanted == "cpu") return cpu_device();
    std::string why_not;
    std::optional<Device> gpu = cuda_device(why_not);
    require(gpu || wanted != "cuda", "--device cuda: {}", why_not);
    if (gpu) return *gpu;
    Device cpu = cpu_device();
    cpu.text += fmt::format(" (no GPU: {})", why_not);
    return cpu;
}

void add_device(CLI::App& command, std::string& name) {
    command.add_option("--device", name, "cpu, cuda, or auto: a GPU if there is one")
        ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
        ->capture_default_str();
}

}  // namespace dropforge
