// oneDNN's GEMM, with which `bench gemm` compares ours: a matmul primitive for each shape, created once; a call looks
// it up, sets the pointers of its memory objects and executes it. With a lower level of DROPFORGE_CPU it is limited to
// the same instruction sets.
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

    /// Whether oneDNN supports g, without GELU and bias gradient, on this machine; always false in a build without it.
    bool has(const kernels::Gemm& g);
    void gemm(const kernels::Gemm& g);

  private:
    class Plans;
    std::unique_ptr<Plans> plans_;
};

}  // namespace dropforge
