#include "model/run/kernel_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "base/error.h"

namespace dropforge {

namespace {

/// A library whose kernels are to serve all operations of one kind.
struct Library {
    std::string_view name, operations, library;
};
constexpr std::array kLibraries = {Library{"cublaslt", "gemm", "cuBLASLt"}, Library{"cudnn", "attention", "cuDNN"}};

}  // namespace

std::vector<std::string> requirement_names() {
    std::vector<std::string> names = {"cuda", "bf16"};
    for (const Library& library : kLibraries) names.emplace_back(library.name);
    return names;
}

void check_requirements(const std::vector<std::string>& required, const RunPlan& plan) {
    const std::vector<std::string> names = requirement_names();
    for (const std::string& name : required) {
        require(std::ranges::count(names, name) > 0, "--require {}: it must be of {}", name, fmt::join(names, ", "));
        if (name == "bf16") {
            require(plan.precision.dtype == DType::bf16 && plan.device.bf16, "--require bf16: {}",
                    plan.precision.reason);
            continue;
        }
        require(plan.device.kind == "cuda", "--require {}: the run is on the {}: {}", name, plan.device.kind,
                plan.device.text);
    }
}

void check_requirements(const std::vector<std::string>& required, const std::vector<kernels::KernelChoice>& choices) {
    for (const auto& [name, operations, library] : kLibraries) {
        if (std::ranges::count(required, name) == 0) continue;
        for (const kernels::KernelChoice& choice : choices)
            require(!choice.operation.starts_with(operations) || choice.library.starts_with(library),
                    "--require {}: {} is served by {}: {}", name, choice.operation, choice.library, choice.reason);
    }
}

std::string kernel_table(std::vector<kernels::KernelChoice> choices) {
    std::ranges::sort(choices, {}, &kernels::KernelChoice::operation);
    std::string text = "operation\tlibrary\tkernel\treason\n";
    for (const auto& [operation, library, kernel, reason] : choices)
        text += fmt::format("{}\t{}\t{}\t{}\n", operation, library, kernel, reason);
    return text;
}

}  // namespace dropforge
