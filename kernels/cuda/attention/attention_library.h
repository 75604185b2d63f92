// The interface of a library that has attention; the folder cudnn/ implements it with cuDNN. attention_choice.cpp
// decides whether a shape uses a library's plan or our own kernels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <tuple>

#include "kernels/kernels.h"

namespace dropforge::kernels::on_cuda {

class CudaContext;

/// The arguments that forward and backward of one attention share, without pointers.
struct AttentionShape {
    template <typename Attention>
    explicit AttentionShape(const Attention& a)
        : batch(a.batch),
          heads(a.heads),
          head_size(a.head_size),
          rows_q(a.rows_q),
          rows_kv(a.rows_kv),
          stride_q(a.stride_q),
          stride_kv(a.stride_kv),
          stride_out(a.stride_out),
          scale(a.scale),
          dropout(static_cast<float>(a.dropout.threshold()) / 65536.0f),
          dtype(a.dtype),
          aligned(are_aligned({a.q, a.k, a.v, a.out})) {}
    int64_t batch, heads, head_size, rows_q, rows_kv, stride_q, stride_kv, stride_out;
    float scale, dropout;  // dropout: the probability, rounded to the 16 bits that are drawn
    DType dtype;
    bool aligned;  // whether queries, keys, values and outputs are aligned to 16 bytes

    int64_t columns() const { return heads * head_size; }

    static bool are_aligned(std::initializer_list<const void*> pointers) {
        return std::ranges::all_of(pointers, [](const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; });
    }

    auto members() const {
        return std::tie(batch, heads, head_size, rows_q, rows_kv, stride_q, stride_kv, stride_out, scale, dropout,
                        dtype, aligned);
    }
    /// An arbitrary order, for maps.
    friend bool operator<(const AttentionShape& a, const AttentionShape& b) { return a.members() < b.members(); }
};
/// The shape as words: "bf16 batch 32 heads 12 of 64 rows 64 x 128 dropout 0.1".
std::string text(const AttentionShape& shape);

/// A library's attention of one shape. Its dropout is a function of Dropout's state and site, as ours is, but has other
/// bits.
class AttentionPlan {
  public:
    AttentionPlan() = default;
    virtual ~AttentionPlan() = default;
    AttentionPlan(const AttentionPlan&) = delete;
    AttentionPlan& operator=(const AttentionPlan&) = delete;

    /// Name of the library's kernels.
    virtual std::string name() const = 0;
    virtual int64_t workspace_bytes() const = 0;
    /// Queues the pass on the context's stream; nothing is allocated. Error if the library fails.
    virtual void forward(const AttentionForward&, void* workspace) = 0;
    virtual void backward(const AttentionBackward&, void* workspace) = 0;
};

/// A library's attention on the GPU of one context.
class AttentionLibrary {
  public:
    AttentionLibrary() = default;
    virtual ~AttentionLibrary() = default;
    AttentionLibrary(const AttentionLibrary&) = delete;
    AttentionLibrary& operator=(const AttentionLibrary&) = delete;

    /// Name with version: "cuDNN 9.19.0".
    virtual std::string name() const = 0;
    /// The known defect of this version for this shape; empty: none.
    virtual std::string known_trouble(const AttentionShape&) const = 0;
    /// A plan for a shape of 16-bit storage; nullptr with the reason in `why_not` if the library does not support it.
    virtual std::unique_ptr<AttentionPlan> plan(const AttentionShape&, std::string& why_not) = 0;
};

/// Opens the library for the context's GPU; nullptr with the reason in `why_not` if it cannot be opened. The result
/// must not outlive the context.
std::unique_ptr<AttentionLibrary> open_attention_library(CudaContext& context, std::string& why_not);

}  // namespace dropforge::kernels::on_cuda
