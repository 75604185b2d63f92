// The buffers of a case of `bench kernels`, and the construction of a case from a kernel call.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/philox.h"
#include "bench/measure/kernel_cases.h"
#include "engine/buffer.h"
#include "kernels/kernels.h"

namespace dropforge {

/// Buffers of one case in a context's memory, filled with random numbers, and the number of bytes of its operands.
class KernelMemory {
  public:
    /// `context` must outlive the object.
    KernelMemory(DType dtype, kernels::Context& context) : dtype_(dtype), context_(context) {}

    /// n uniform numbers in -1 … 1 (a pattern that repeats), in the storage type.
    void* values(int64_t n) { return random(dtype_, n, -1, 1); }
    float* floats(int64_t n, double low = -1, double high = 1) {
        return static_cast<float*>(random(DType::f32, n, low, high));
    }
    int32_t* integers(int64_t n, int64_t below) {
        std::vector<int32_t> drawn(static_cast<size_t>(n));
        for (int32_t& x : drawn) x = static_cast<int32_t>(stream_.below(static_cast<uint32_t>(below)));
        return stored<int32_t>(drawn);
    }
    template <typename T>
    T* stored(std::span<const T> values) {
        const auto bytes = static_cast<int64_t>(values.size_bytes());
        void* p = allocate(bytes);
        context_.upload(p, values.data(), bytes);
        context_.synchronize();
        return static_cast<T*>(p);
    }
    /// Memory that does not count as an operand.
    void* scratch(int64_t bytes) {
        void* p = allocate(bytes);
        bytes_ -= static_cast<double>(bytes);
        return p;
    }
    std::span<const kernels::Segment> segments(std::vector<kernels::Segment> segments) {
        return segments_ = std::move(segments);
    }
    kernels::Dropout dropout() {
        static constexpr std::array<uint32_t, 4> kState{1, 2, 3, 0};
        return {.state = stored<uint32_t>(kState), .site = 1, .probability = 0.1f};
    }
    /// Corrects the number of bytes for operands that are both read and written, or only partly accessed.
    void count(double bytes) { bytes_ += bytes; }
    double bytes() const { return bytes_; }
    /// Bytes of all buffers.
    double allocated() const { return allocated_; }

  private:
    void* allocate(int64_t bytes) {
        bytes_ += static_cast<double>(bytes);
        allocated_ += static_cast<double>(bytes);
        return blocks_.emplace_back(bytes, context_).as();
    }
    void* random(DType dtype, int64_t n, double low, double high) {
        constexpr int64_t kPeriod = 8191, kPeriods = 128;
        std::array<float, kPeriod> pattern;
        for (float& x : pattern) x = static_cast<float>(low + (high - low) * stream_.uniform());
        const auto size = static_cast<int64_t>(size_of(dtype));
        char* p = static_cast<char*>(allocate(n * size));
        with_float_type(dtype, [&](auto type) {
            using T = decltype(type);
            std::vector<T> tile(static_cast<size_t>(std::min(n, kPeriod * kPeriods)));
            for (size_t i = 0; i < tile.size(); ++i) tile[i] = static_cast<T>(pattern[i % pattern.size()]);
            for (int64_t done = 0, part; done < n; done += part) {
                part = std::min<int64_t>(n - done, static_cast<int64_t>(tile.size()));
                context_.upload(p + done * size, tile.data(), part * size);
            }
            context_.synchronize();
        });
        return p;
    }

    DType dtype_;
    kernels::Context& context_;
    PhiloxStream stream_{1, 0};
    std::vector<Buffer> blocks_;
    std::vector<kernels::Segment> segments_;
    double bytes_ = 0, allocated_ = 0;
};

using KernelMemoryPtr = std::shared_ptr<KernelMemory>;

/// The case of one call of a table's entry. `flops`: as KernelCase::flops.
template <typename Operation>
KernelCase make_case(const KernelMemoryPtr& memory, const Operation& operation,
                     void (*kernels::KernelTable::*entry)(const Operation&, kernels::Context&), double flops = 0) {
    return {memory->bytes(), memory->allocated(), flops, memory,
            [=](const kernels::KernelTable& table, kernels::Context& context) {
                if (!(table.*entry)) return false;
                (table.*entry)(operation, context);
                return true;
            }};
}

/// c[rows,columns] = op(a)[rows,depth] · op(b)[depth,columns], with dense rows.
kernels::Gemm gemm_operands(KernelMemory& memory, DType dtype, DType out, int64_t rows, int64_t columns, int64_t depth,
                            bool transpose_a, bool transpose_b);
double flops_of(const kernels::Gemm& g);

/// Builds the case of one shape in the given memory.
using CaseOfShape = KernelCase (*)(const ModelShape&, const KernelMemoryPtr&, DType);

inline KernelCaseMaker case_of_shape(const std::string& name, const ModelShape& shape, DType dtype, CaseOfShape build) {
    return {name, [=](kernels::Context& context) {
                return build(shape, std::make_shared<KernelMemory>(dtype, context), dtype);
            }};
}

}  // namespace dropforge
