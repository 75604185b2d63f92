// Buffers for one case of `bench kernels`, and the case around a kernel call.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/philox.h"
#include "bench/kernel_cases.h"
#include "kernels/kernels.h"

namespace dropforge {

/// Buffers of one case, filled with random numbers, and how many bytes its operands have.
class KernelMemory {
  public:
    explicit KernelMemory(DType dtype) : dtype_(dtype) {}

    /// n uniform numbers in -1 … 1 (a pattern that repeats), in the storage type.
    void* values(int64_t n) { return random(dtype_, n, -1, 1); }
    float* floats(int64_t n, double low = -1, double high = 1) {
        return static_cast<float*>(random(DType::f32, n, low, high));
    }
    int32_t* integers(int64_t n, int64_t below) {
        auto* p = static_cast<int32_t*>(allocate(n * 4));
        for (int64_t i = 0; i < n; ++i) p[i] = static_cast<int32_t>(stream_.below(static_cast<uint32_t>(below)));
        return p;
    }
    /// Not counted among the operands.
    void* scratch(int64_t bytes) {
        void* p = allocate(bytes);
        bytes_ -= static_cast<double>(bytes);
        return p;
    }
    std::span<const kernels::Segment> segments(std::vector<kernels::Segment> segments) {
        return segments_ = std::move(segments);
    }
    kernels::Dropout dropout() { return {state_.data(), 1, 0.1f}; }
    /// Operands that are read and written, or not touched as a whole.
    void count(double bytes) { bytes_ += bytes; }
    double bytes() const { return bytes_; }

  private:
    void* allocate(int64_t bytes) {
        constexpr size_t kAlignment = 64;
        auto& block = blocks_.emplace_back(std::make_unique<std::byte[]>(static_cast<size_t>(bytes) + kAlignment));
        bytes_ += static_cast<double>(bytes);
        void* p = block.get();
        size_t space = static_cast<size_t>(bytes) + kAlignment;
        return std::align(kAlignment, static_cast<size_t>(bytes), p, space);
    }
    void* random(DType dtype, int64_t n, double low, double high) {
        std::array<float, 8191> pattern;
        for (float& x : pattern) x = static_cast<float>(low + (high - low) * stream_.uniform());
        void* p = allocate(n * static_cast<int64_t>(size_of(dtype)));
        with_float_type(dtype, [&](auto type) {
            using T = decltype(type);
            for (int64_t i = 0; i < n; ++i)
                static_cast<T*>(p)[i] = static_cast<T>(pattern[static_cast<size_t>(i) % pattern.size()]);
        });
        return p;
    }

    DType dtype_;
    PhiloxStream stream_{1, 0};
    std::vector<std::unique_ptr<std::byte[]>> blocks_;
    std::vector<kernels::Segment> segments_;
    std::array<uint32_t, 4> state_{1, 2, 3, 0};
    double bytes_ = 0;
};

using KernelMemoryPtr = std::shared_ptr<KernelMemory>;

/// One call of an entry of the table. `flops`: see KernelCase.
template <typename Operation>
KernelCase make_case(const KernelMemoryPtr& memory, const Operation& operation,
                     void (*kernels::KernelTable::*entry)(const Operation&, kernels::Context&), double flops = 0) {
    return {memory->bytes(), flops, memory, [=](const kernels::KernelTable& table, kernels::Context& context) {
                if (!(table.*entry)) return false;
                (table.*entry)(operation, context);
                return true;
            }};
}

/// Builds the case of one shape in the given memory.
using CaseOfShape = KernelCase (*)(const ModelShape&, const KernelMemoryPtr&, DType);

inline KernelCaseMaker case_of_shape(const std::string& name, const ModelShape& shape, DType dtype, CaseOfShape build) {
    return {name, [=] { return build(shape, std::make_shared<KernelMemory>(dtype), dtype); }};
}

}  // namespace dropforge
