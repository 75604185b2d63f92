// The state of the CPU kernels between calls.
#pragma once

#include "kernels/cpu/buffer.h"
#include "kernels/kernels.h"

namespace dropforge::kernels::on_cpu {

class CpuContext : public Context {
  public:
    Buffer packed_b, packed_a, partial;  // of gemm.cpp
};

}  // namespace dropforge::kernels::on_cpu
