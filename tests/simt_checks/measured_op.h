// Runs an op of the engine on the emulated CUDA backend and counts its traffic.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/buffer.h"
#include "engine/program.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/emulator/checks/traffic.h"

namespace dropforge {

/// A buffer of at most this size stays in the second-level cache while an op runs: half of what the smallest GPUs have.
constexpr int64_t kStaysInCache = 2 << 20;  // bytes

/// What an op's launches ask of device memory. A buffer that stays in cache comes once and goes once (scratch of this
/// size only goes); of a larger one, what a block asks for again is in a cache, what another block asks for is not.
struct Measured {
    double moved = 0;   // bytes, whole sectors
    double needed = 0;  // bytes: each operand once, and scratch once
    /// Of the sectors that requests get, the part that they asked for: for buffers that do not stay in cache, and for
    /// all (numbers of a row that a whole warp reads, partial sums).
    double sector_use = 0, sector_use_of_all = 0;
};

/// A Program whose tensors all have memory of their own.
class MeasuredOps {
  public:
    Program program{"measured"};

    /// A tensor with value(i) in element i.
    Tensor tensor(const std::string& name, DType dtype, const Shape& shape,
                  const std::function<double(int64_t)>& value);
    /// Random numbers between -2 and 2, or zeros.
    Tensor random(const std::string& name, DType dtype, const Shape& shape);
    Tensor zeros(const std::string& name, DType dtype, const Shape& shape);
    void* memory(const Tensor& t) { return pointers_[static_cast<size_t>(t.storage)]; }
    /// Only so many bytes of a tensor are needed: the rows that an index names.
    void needs_only(const Tensor& t, int64_t bytes) { needed_[t.storage] = bytes; }

    /// The first op that has not run yet, and its traffic.
    const Op& next() const { return program.ops().at(runs_); }
    Measured run_next();

  private:
    void give_memory();
    double needed_bytes(const Op& op) const;
    Measured add_up(const Op& op, const std::vector<simt::LaunchTraffic>& launches) const;

    std::unique_ptr<kernels::Context> context_ = kernels::cuda().create_context();
    std::vector<Buffer> buffers_;
    std::vector<void*> pointers_;
    std::map<int32_t, int64_t> needed_;
    size_t runs_ = 0;
    simt::TrafficCounter counter_;
};

}  // namespace dropforge
