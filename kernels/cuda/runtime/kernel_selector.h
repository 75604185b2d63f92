// The interface of a context's selectors: one for each operation that has several kernels.
#pragma once

#include <string>
#include <vector>

#include "kernels/context.h"

namespace dropforge::kernels::on_cuda {

/// Selects a kernel for each shape of an operation, and owns the plans and the libraries' handles for it.
class KernelSelector {
  public:
    KernelSelector() = default;
    virtual ~KernelSelector() = default;
    KernelSelector(const KernelSelector&) = delete;
    KernelSelector& operator=(const KernelSelector&) = delete;

    /// The choice for each shape that has run.
    virtual std::vector<KernelChoice> choices() const = 0;
    /// As Context::take_notes().
    virtual std::vector<std::string> take_notes() { return {}; }
};

}  // namespace dropforge::kernels::on_cuda
