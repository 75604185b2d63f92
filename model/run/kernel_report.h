// Which kernels a run uses, kept in its folder, and what a user insists on.
#pragma once

#include <string>
#include <vector>

#include "kernels/context.h"
#include "model/run/plan.h"

namespace dropforge {

/// What can be insisted on: cuda, cublaslt, cudnn, bf16.
std::vector<std::string> requirement_names();

/// Throws Error if a requirement that the plan alone decides is not met (cuda, bf16, libraries of a GPU), or is
/// unknown.
void check_requirements(const std::vector<std::string>& required, const RunPlan& plan);
/// Throws Error naming the first operation that another kernel than a required library's serves, and why.
void check_requirements(const std::vector<std::string>& required, const std::vector<kernels::KernelChoice>& choices);

/// Lines "operation, library, kernel, reason", separated by tabs, sorted; a heading first.
std::string kernel_table(std::vector<kernels::KernelChoice> choices);

}  // namespace dropforge
