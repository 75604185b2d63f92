// The storage types of the CPU kernels.
#pragma once

#include "base/error.h"
#include "kernels/dtype.h"

namespace dropforge::kernels::on_cpu {

/// Error for fp16, which only GPUs support.
inline void refuse_fp16(DType dtype) {
    require(dtype != DType::fp16, "fp16 is for CUDA devices: the CPU computes in bf16 or f32");
}

/// Calls f with a value of the storage type of `dtype` (f32 or bf16).
template <typename F>
decltype(auto) with_cpu_type(DType dtype, F&& f) {
    refuse_fp16(dtype);
    return dtype == DType::bf16 ? f(bf16{}) : f(float{});
}

}  // namespace dropforge::kernels::on_cpu
