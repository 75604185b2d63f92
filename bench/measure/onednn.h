// oneDNN's matrix product, for `bench gemm` to measure ours beside: a matmul primitive per shape, made once; a call
// looks it up, points its memory objects at the operands and executes. At a lower level of the CPU (DROPFORGE_CPU) it
// is held to the same instruction sets.
#pragma once

#include <memory>

#include "kernels/kernels.h"

namespace dropforge {

class OneDnn {
  public:
    OneDnn();
    ~OneDnn();
    OneDnn(const OneDnn&) = delete;
    OneDnn& operator=(const OneDnn&) = delete;

    /// Whether oneDNN has g, without its GELU and sums of a, on this machine; it has nothing where bench was built
    /// without it.
    bool has(const kernels::Gemm& g);
    void gemm(const kernels::Gemm& g);

  private:
    class Plans;
    std::unique_ptr<Plans> plans_;
};

}  // namespace dropforge
