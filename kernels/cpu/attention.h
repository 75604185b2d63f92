// What attention's forward and backward share: where a head lies, and how a thread cuts up its scratch.
#pragma once

#include <type_traits>

#include "kernels/cpu/dropout.h"
#include "kernels/cpu/math.h"
#include "kernels/cpu/tile.h"
#include "kernels/kernels.h"

namespace dropforge::kernels::on_cpu {

/// What rows of probabilities, or of their gradients, are kept as between two products: T where words of it are
/// multiplied in place, else f32.
template <typename T>
using Operand = std::conditional_t<kInPlace<T>, T, float>;

/// Where one head of one sequence lies; a is an AttentionForward or AttentionBackward, task = sequence * heads + head.
struct Head {
    template <typename Attention>
    Head(const Attention& a, int64_t task)
        : q(task / a.heads * a.rows_q * a.stride_q + task % a.heads * a.head_size),
          kv(task / a.heads * a.rows_kv * a.stride_kv + task % a.heads * a.head_size),
          out(task / a.heads * a.rows_q * a.stride_out + task % a.heads * a.head_size),
          row(task * a.rows_q),
          keys(a.lengths ? a.lengths[task / a.heads] : a.rows_kv) {}

    int64_t q, kv, out;  // element offsets of its first row
    int64_t row;         // of lse and of dropout: that of query 0
    int64_t keys;        // how many are seen; what lies beyond is never read
};

/// Hands out pieces of a thread's scratch, 64-byte aligned.
class Scratch {
  public:
    explicit Scratch(void* begin) : next_(static_cast<char*>(begin)) {}

    template <typename T>
    T* take(int64_t count) {
        T* piece = reinterpret_cast<T*>(next_);
        next_ += (count * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64;
        return piece;
    }

  private:
    char* next_;
};

/// 64-bit words of dropout bits in a row of `keys` columns.
constexpr int64_t mask_words(int64_t keys) { return (keys + 63) / 64; }

/// Bits of kLanes columns from `column` (a multiple of kLanes) on; what lies above them is of no meaning.
inline uint64_t mask_of(const uint64_t* bits, int64_t column) { return bits[column / 64] >> (column % 64); }

}  // namespace dropforge::kernels::on_cpu
