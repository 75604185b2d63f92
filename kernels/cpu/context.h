// What the CPU kernels keep between calls: packing buffers of our GEMM and the primitives of oneDNN's.
#pragma once

#include <memory>

#include "kernels/cpu/buffer.h"
#include "kernels/kernels.h"

namespace dropforge::kernels::on_cpu {

class OneDnn;  // gemm_onednn.cpp

class CpuContext : public Context {
  public:
    CpuContext();
    ~CpuContext() override;

    Buffer packed_b, packed_a, partial;  // of gemm_blocked
    std::unique_ptr<OneDnn> onednn;      // made at the first GEMM that needs it
};

}  // namespace dropforge::kernels::on_cpu
