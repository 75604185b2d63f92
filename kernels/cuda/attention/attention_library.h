// Attention by a library: the shapes that a plan is made for, and what a plan does. cuDNN's is in the folder cudnn/;
// attention_choice.cpp decides whether a plan or our own kernels serve a shape.
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

/// All that forward and backward of one attention have in common but for pointers.
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
          aligned(on_borders({a.q, a.k, a.v, a.out})) {}
    int64_t batch, heads, head_size, rows_q, rows_kv, stride_q, stride_kv, stride_out;
    float scale, dropout;  // the probability to the 16 bits that are drawn
    DType dtype;
    bool aligned;  // queries, keys, values and outputs start on 16-byte borders

    int64_t columns() const { return heads * head_size; }

    static bool on_borders(std::initializer_list<const void*> pointers) {
        return std::ranges::all_of(pointers, [](const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; });
    }

    auto members() const {
        return std::tie(batch, heads, head_size, rows_q, rows_kv, stride_q, stride_kv, stride_out, scale, dropout,
                        dtype, aligned);
    }
    /// Some order, for maps.
    friend bool operator<(const AttentionShape& a, const AttentionShape& b) { return a.members() < b.members(); }
};
/// "bf16 batch 32 heads 12 of 64 rows 64 x 128 dropout 0.1"
std::string text(const AttentionShape& shape);

/// Attention of one shape. Its dropout is drawn from the state of Dropout too, anew where any of the four numbers or
/// the site differs, but the bits are the library's.
class AttentionPlan {
  public:
    AttentionPlan() = default;
    virtual ~AttentionPlan() = default;
    AttentionPlan(const AttentionPlan&) = delete;
    AttentionPlan& operator=(const AttentionPlan&) = delete;

    /// Of the library's kernels.
    virtual std::string name() const = 0;
    virtual int64_t workspace_bytes() const = 0;
    /// Queued on the context's stream; nothing is allocated. Error if the library fails.
    virtual void forward(const AttentionForward&, void* workspace) = 0;
    virtual void backward(const AttentionBackward&, void* workspace) = 0;
};

class AttentionLibrary {
  public:
    AttentionLibrary() = default;
    virtual ~AttentionLibrary() = default;
    AttentionLibrary(const AttentionLibrary&) = delete;
    AttentionLibrary& operator=(const AttentionLibrary&) = delete;

    /// With its version: "cuDNN 9.19.0".
    virtual std::string name() const = 0;
    /// What is known to be wrong with this version for this shape; empty: nothing.
    virtual std::string known_trouble(const AttentionShape&) const = 0;
    /// For 16-bit storage. nullptr and why not if the library does not take the shape.
    virtual std::unique_ptr<AttentionPlan> plan(const AttentionShape&, std::string& why_not) = 0;
};

/// Opens the library for the context's GPU; nullptr and why not if that cannot be done. What a context has got must not
/// outlive it.
std::unique_ptr<AttentionLibrary> open_attention_library(CudaContext& context, std::string& why_not);

}  // namespace dropforge::kernels::on_cuda
