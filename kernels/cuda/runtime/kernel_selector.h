// What a context keeps for an operation that can be served by several kernels.
#pragma once

#include <string>
#include <vector>

#include "kernels/context.h"

namespace dropforge::kernels::on_cuda {

/// Selects the kernel that serves each shape of an operation, and keeps what that takes: plans, handles of libraries.
class KernelSelector {
  public:
    KernelSelector() = default;
    virtual ~KernelSelector() = default;
    KernelSelector(const KernelSelector&) = delete;
    KernelSelector& operator=(const KernelSelector&) = delete;

    /// For each shape that has run.
    virtual std::vector<KernelChoice> choices() const = 0;
    /// As of Context.
    virtual std::vector<std::string> take_notes() { return {}; }
};

}  // namespace dropforge::kernels::on_cuda
