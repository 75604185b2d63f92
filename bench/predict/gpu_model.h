// How long a GPU takes for an op, predicted from the op's work and bytes and a file about the GPU
// (bench/predict/devices).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/program.h"

namespace dropforge {

/// A block's part of a product, and its rate in the inner loop against the largest tile's.
struct GemmTile {
    double rows, columns, rate;
};

/// A device file. Rates are the maker's peaks, in units (not mega or tera) a second; the rest is said in the files.
struct GpuModel {
    std::string name;
    double multiprocessors, bf16_flops, tf32_flops, f32_flops;
    double memory_bytes, memory_bandwidth, l2_bytes;
    double memory_efficiency, l2_speedup;  // share of the peak that streaming reaches; of an L2 against the memory
    double kernel_seconds, launch_seconds;
    double gemm_efficiency, gemm_k_overhead;
    std::vector<GemmTile> gemm_tiles;
    double attention_efficiency, forward_steps, backward_steps;

    /// One of known(), or a file. Error with those that are known, or with what is wrong in the file.
    static GpuModel load(const std::string& name_or_file);
    /// "a100", …: the files that this program was built with.
    static std::vector<std::string> known();
};

/// An op's time, and what it would take at the peaks of arithmetic and memory.
struct PredictedTime {
    double seconds, floor;
};

class GpuPrediction {
  public:
    /// `dtype` of the products; f32 ones by TF32 if `tf32`.
    GpuPrediction(const GpuModel& gpu, DType dtype, bool tf32);

    PredictedTime of(const Op& op, const Program& program) const;
    /// FLOPs per second of the products at best.
    double peak() const { return peak_; }

  private:
    double memory_seconds(double bytes) const;
    bool gelu_apart(const Work& work) const;
    double product_seconds(const Work& work) const;
    double kernels_of(const Op& op, const Program& program) const;
    double gemm_seconds(const Work& work, int64_t beside) const;
    double attention_seconds(const Work& work) const;

    const GpuModel& gpu_;
    double element_bytes_, peak_;
};

}  // namespace dropforge
