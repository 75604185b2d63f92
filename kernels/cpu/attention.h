// Shared by attention's forward and backward: the offsets of a head, and the division of a thread's scratch.
#pragma once

#include <type_traits>

#include "kernels/cpu/dropout.h"
#include "kernels/cpu/math.h"
#include "kernels/cpu/tile.h"
#include "kernels/kernels.h"

namespace dropforge::kernels::on_cpu {

/// The type of rows of probabilities, or of their gradients, between two multiplications: T where words of T are
/// multiplied in place, else f32.
template <typename T>
using Operand = std::conditional_t<kInPlace<T>, T, float>;

/// Columns of rows of probabilities over `keys`: whole vectors, and whole steps where the rows are multiplied.
template <typename T>
constexpr int64_t row_width(int64_t keys) {
    return round_up(keys, std::max<int64_t>(kLanes, kStep<T>));
}

/// The offsets of one head of one sequence. a is an AttentionForward or AttentionBackward, task = sequence * heads +
/// head.
struct Head {
    template <typename Attention>
    Head(const Attention& a, int64_t task)
        : q(task / a.heads * a.rows_q * a.stride_q + task % a.heads * a.head_size),
          kv(task / a.heads * a.rows_kv * a.stride_kv + task % a.heads * a.head_size),
          out(task / a.heads * a.rows_q * a.stride_out + task % a.heads * a.head_size),
          row(task * a.rows_q),
          keys(a.lengths ? a.lengths[task / a.heads] : a.rows_kv) {}

    int64_t q, kv, out;  // element offsets of its first row
    int64_t row;         // query 0's row of lse and of dropout
    int64_t keys;        // number of keys attended to; later ones are never read
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

/// Bits of kLanes columns from `column` (a multiple of kLanes) on; higher bits are unspecified.
inline uint64_t mask_of(const uint64_t* bits, int64_t column) { return bits[column / 64] >> (column % 64); }

}  // namespace dropforge::kernels::on_cpu
