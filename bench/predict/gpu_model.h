// Prediction of an op's time on a GPU from its arithmetic, its bytes and a file about the GPU (bench/predict/devices).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/program.h"

namespace dropforge {

/// A block's tile of a GEMM, and its rate in the inner loop relative to the largest tile's.
struct GemmTile {
    double rows, columns, rate;
};

/// A device file. Rates are the maker's peaks, in units (not mega or tera) a second; the files explain the other
/// numbers.
struct GpuModel {
    std::string name;
    double sm_count, bf16_flops, tf32_flops, f32_flops;
    double memory_bytes, memory_bandwidth, l2_bytes;
    double memory_efficiency, l2_speedup;  // share of the peak that streaming reaches; L2 bandwidth over memory's
    double kernel_seconds, launch_seconds;
    double gemm_efficiency, gemm_k_overhead;
    std::vector<GemmTile> gemm_tiles;
    double attention_efficiency, forward_steps, backward_steps;

    /// Loads one of known(), or a file. Error with the known names, or with the file's mistake.
    static GpuModel load(const std::string& name_or_file);
    /// The names of the files that are built into the program: "a100", …
    static std::vector<std::string> known();
};

/// An op's predicted time, and its time at the peaks of arithmetic and memory.
struct PredictedTime {
    double seconds, floor;
};

/// Predicts the times of ops on a GPU.
class GpuPrediction {
  public:
    /// For GEMMs of operands of `dtype`; f32 ones by TF32 if `tf32`.
    GpuPrediction(const GpuModel& gpu, DType dtype, bool tf32);

    PredictedTime of(const Op& op, const Program& program) const;
    /// Peak FLOP/s of GEMMs.
    double peak() const { return peak_; }

  private:
    double memory_seconds(double bytes) const;
    bool gelu_is_unfused(const Work& work) const;
    double gemm_op_seconds(const Work& work) const;
    double kernels_of(const Op& op, const Program& program) const;
    double gemm_seconds(const Work& work, int64_t epilogue_matrices) const;
    double attention_seconds(const Work& work) const;

    const GpuModel& gpu_;
    double element_bytes_, peak_;
};

}  // namespace dropforge
