// Gradient norm, AdamW and LAMB over the flat arenas. They are bound by memory bandwidth, so each reads and writes
// every element as few times as possible.
#include <cmath>
#include <vector>

#include "kernels/blocks.h"
#include "kernels/cuda/rowwise/functions.h"
#include "kernels/cuda/runtime/device.cuh"

namespace dropforge::kernels::on_cuda {

/// The elements of a thread block: kSegmentBlock of a segment, or fewer at its end. `first` is the number of the
/// segment's first piece, `count` the number of its pieces.
struct Piece {
    int64_t begin;  // element of the arena
    int32_t size;
    uint32_t decay;
    int64_t first;
    int32_t count;
    float rate;  // of the segment
};
static_assert(sizeof(Piece) == 32, "no padding: constants() compares bytes");

std::vector<Piece> pieces_of(std::span<const Segment> segments) {
    std::vector<Piece> pieces;
    for (const Segment& s : segments) {
        const int64_t first = std::ssize(pieces);
        for (int64_t at = 0; at < s.size; at += kSegmentBlock)
            pieces.push_back({.begin = s.offset + at,
                              .size = static_cast<int32_t>(std::min(kSegmentBlock, s.size - at)),
                              .decay = s.decay,
                              .first = first,
                              .count = static_cast<int32_t>(segment_blocks(s.size)),
                              .rate = s.rate});
    }
    return pieces;
}

/// Threads of a block. A piece is 32 packs a thread (128 KiB of each arena), so that a block's prologue and epilogue
/// hardly count, and a model has thousands of pieces for the SMs to share. AdamW takes 48 registers, so five blocks run
/// on an SM, and one outstanding pack of each of four arenas in every thread is 80 KiB in flight.
constexpr int kThreads = 256;

/// Calls f(element, integral_constant<width>) for all elements of the piece: by aligned packs of N, and one by one
/// before the first and after the last of these (segments begin anywhere).
template <int N, typename F>
__device__ inline void for_piece(const Piece& piece, F&& f) {
    using One = std::integral_constant<int, 1>;
    const int64_t end = piece.begin + piece.size, first = (piece.begin + N - 1) / N * N, last = end / N * N;
#pragma unroll 4
    for (int64_t i = first + threadIdx.x * N; i < last; i += kThreads * N) f(i, std::integral_constant<int, N>{});
    if constexpr (N > 1) {
        const int64_t before = piece.begin + threadIdx.x, after = (last > first ? last : first) + threadIdx.x;
        if (before < first && before < end) f(before, One{});
        if (after < end) f(after, One{});
    }
}

// ---------------------------------------------------------------------------------------------------------------- norm
template <int N>
__global__ void __launch_bounds__(kThreads)
    squares_kernel(const float* __restrict__ gradients, const Piece* __restrict__ pieces, double* partials) {
    double sum = 0;
    for_piece<N>(pieces[blockIdx.x], [&](int64_t i, auto width) {
        float value[width()];
        load<width()>(gradients + i, value);
#pragma unroll
        for (int j = 0; j < width(); ++j) {
            const double x = value[j];
            sum = fma(x, x, sum);
        }
    });
    sum = block_reduce(sum, Sum{});
    if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

constexpr int kNormThreads = 1024;

/// One block: a model of 110 M parameters has 3500 partial sums.
__global__ void __launch_bounds__(kNormThreads)
    norm_kernel(const double* __restrict__ partials, int pieces, float* norm) {
    double sum = 0;
    for (int i = static_cast<int>(threadIdx.x); i < pieces; i += kNormThreads) sum += partials[i];
    sum = block_reduce(sum, Sum{});
    if (threadIdx.x == 0) *norm = static_cast<float>(sqrt(sum));
}

void global_norm(const GlobalNorm& n, Context& context) {
    const std::vector<Piece> pieces = pieces_of(n.segments);
    auto* partials = static_cast<double*>(n.scratch);
    if (!pieces.empty()) {
        with_pack<float>(0, {n.gradients}, [&](auto pack) {
            launch(squares_kernel<pack()>, context, {blocks_for(std::ssize(pieces), 1), kThreads}, n.gradients,
                   constants(std::span(pieces), context), partials);
        });
    }
    launch(norm_kernel, context, {1, kNormThreads}, partials, pieces.size(), n.norm);
}

// ---------------------------------------------------------------------------------------------------------- loss scale
/// One thread for a handful of numbers, on the device so that the host need not wait for the norm.
__global__ void __launch_bounds__(kWarp) loss_scale_kernel(LossScaleStep l) {
    if (threadIdx.x != 0) return;
    const LossScale before = *l.state;
    const float norm = *l.norm / before.scale;
    const double update = before.updates + 1.0;
    UpdateScalars scalars = *l.given;
    scalars.correction1 = static_cast<float>(1 - pow(double{scalars.beta1}, update));
    scalars.correction2 = static_cast<float>(1 - pow(double{scalars.beta2}, update));
    scalars.gradient_factor = 1 / before.scale;
    *l.norm = norm;
    *l.scalars = scalars;
    *l.state = before.after(is_finite(norm));
}

void loss_scale(const LossScaleStep& l, Context& context) { launch(loss_scale_kernel, context, {1, kWarp}, l); }

// -------------------------------------------------------------------------------------------------------------- update
/// ‖p‖² and ‖direction‖² of a piece. After ratio_kernel, `weights` of a segment's first piece is the segment's learning
/// rate.
struct alignas(16) Norms {
    double weights, directions;
};

struct UpdateArguments {
    float* parameters;
    const float* gradients;
    float *moment1, *moment2;
    void* copy;
    const float* norm;
    const UpdateScalars* scalars;
    const Piece* pieces;
    Norms* norms;  // LAMB only

    __device__ bool finite_norm() const { return is_finite(*norm); }
};

/// The part of an element's update that both algorithms share.
class Moments {
  public:
    __device__ Moments(const UpdateArguments& a, bool decay)
        : beta1_(a.scalars->beta1),
          beta2_(a.scalars->beta2),
          epsilon_(a.scalars->epsilon),
          decay_(decay ? a.scalars->weight_decay : 0.0f),
          inverse1_(1.0f / a.scalars->correction1),
          inverse2_(1.0f / a.scalars->correction2),
          factor_((a.scalars->clip > 0 && *a.norm > a.scalars->clip ? a.scalars->clip / *a.norm : 1.0f) *
                  a.scalars->gradient_factor) {}

    /// Moves the moments by the clipped gradient.
    __device__ void move(float gradient, float& m, float& v) const {
        const float g = gradient * factor_;
        m = fmaf(beta1_, m, (1.0f - beta1_) * g);
        v = fmaf(beta2_, v, (1.0f - beta2_) * g * g);
    }
    /// m̂ / (√v̂ + ε) + weight decay * p.
    __device__ float direction(float m, float v, float p) const {
        return fmaf(decay_, p, m * inverse1_ / (sqrtf(v * inverse2_) + epsilon_));
    }

  private:
    float beta1_, beta2_, epsilon_, decay_, inverse1_, inverse2_, factor_;
};

/// p -= rate * direction, and p's copy as T. AdamW also updates the moments, which LAMB's first pass has done.
template <typename T, int N, bool kLamb>
__global__ void __launch_bounds__(kThreads) step_kernel(UpdateArguments a) {
    if (!a.finite_norm()) return;
    const Piece piece = a.pieces[blockIdx.x];
    const Moments moments(a, piece.decay != 0);
    const float rate = kLamb ? static_cast<float>(a.norms[piece.first].weights) : a.scalars->learning_rate * piece.rate;
    for_piece<N>(piece, [&](int64_t i, auto width) {
        constexpr int kWidth = width();
        float p[kWidth], m[kWidth], v[kWidth];
        load<kWidth>(a.parameters + i, p);
        load<kWidth>(a.moment1 + i, m);
        load<kWidth>(a.moment2 + i, v);
        if constexpr (!kLamb) {
            float g[kWidth];
            load<kWidth>(a.gradients + i, g);
#pragma unroll
            for (int j = 0; j < kWidth; ++j) moments.move(g[j], m[j], v[j]);
            store<kWidth>(a.moment1 + i, m);
            store<kWidth>(a.moment2 + i, v);
        }
#pragma unroll
        for (int j = 0; j < kWidth; ++j) p[j] -= rate * moments.direction(m[j], v[j], p[j]);
        store<kWidth>(a.parameters + i, p);
        if (a.copy) store<kWidth>(static_cast<T*>(a.copy) + i, p);
    });
}

/// LAMB's first pass: updates the moments and computes the norms of each piece.
template <int N>
__global__ void __launch_bounds__(kThreads) moments_kernel(UpdateArguments a) {
    if (!a.finite_norm()) return;
    const Piece piece = a.pieces[blockIdx.x];
    const Moments moments(a, piece.decay != 0);
    double weights = 0, directions = 0;
    for_piece<N>(piece, [&](int64_t i, auto width) {
        constexpr int kWidth = width();
        float p[kWidth], g[kWidth], m[kWidth], v[kWidth];
        load<kWidth>(a.parameters + i, p);
        load<kWidth>(a.gradients + i, g);
        load<kWidth>(a.moment1 + i, m);
        load<kWidth>(a.moment2 + i, v);
#pragma unroll
        for (int j = 0; j < kWidth; ++j) {
            moments.move(g[j], m[j], v[j]);
            const double weight = p[j], direction = moments.direction(m[j], v[j], p[j]);
            weights = fma(weight, weight, weights);
            directions = fma(direction, direction, directions);
        }
        store<kWidth>(a.moment1 + i, m);
        store<kWidth>(a.moment2 + i, v);
    });
    weights = block_reduce(weights, Sum{});
    directions = block_reduce(directions, Sum{});
    if (threadIdx.x == 0) a.norms[blockIdx.x] = {weights, directions};
}

constexpr int kRatioWarps = 4;

/// Computes each segment's learning rate, ‖p‖ / ‖direction‖ times the step's, in the warp of its first piece: the
/// largest segment has a few hundred pieces, which are a few reads a lane.
__global__ void __launch_bounds__(kWarp* kRatioWarps) ratio_kernel(UpdateArguments a, int pieces) {
    const int piece = static_cast<int>(blockIdx.x) * kRatioWarps + static_cast<int>(threadIdx.y);
    if (!a.finite_norm() || piece >= pieces || a.pieces[piece].first != piece) return;  // all lanes of the warp
    double weights = 0, directions = 0;
    for (int i = static_cast<int>(threadIdx.x); i < a.pieces[piece].count; i += kWarp) {
        const Norms norms = a.norms[piece + i];
        weights += norms.weights;
        directions += norms.directions;
    }
    weights = warp_sum(weights);
    directions = warp_sum(directions);
    const bool scaled = a.pieces[piece].decay != 0 && weights > 0 && directions > 0;
    const double rate = double{a.scalars->learning_rate} * a.pieces[piece].rate;
    if (threadIdx.x == 0) a.norms[piece].weights = scaled ? rate * sqrt(weights / directions) : rate;
}

template <bool kLamb>
void update(const Update& u, Context& context) {
    const std::vector<Piece> pieces = pieces_of(u.segments);
    if (pieces.empty()) return;
    const UpdateArguments arguments{u.parameters,
                                    u.gradients,
                                    u.moment1,
                                    u.moment2,
                                    u.copy,
                                    u.norm,
                                    u.scalars,
                                    constants(std::span(pieces), context),
                                    kLamb ? static_cast<Norms*>(u.scratch) : nullptr};
    const unsigned blocks = blocks_for(std::ssize(pieces), 1);
    with_pack<float>(0, {u.parameters, u.gradients, u.moment1, u.moment2, u.copy}, [&](auto pack) {
        if constexpr (kLamb) {
            launch(moments_kernel<pack()>, context, {blocks, kThreads}, arguments);
            launch(ratio_kernel, context, {blocks_for(blocks, kRatioWarps), dim3(kWarp, kRatioWarps)}, arguments,
                   blocks);
        }
        with_16_bit_type(u.copy_dtype, [&](auto type) {
            launch(step_kernel<typename decltype(type)::type, pack(), kLamb>, context, {blocks, kThreads}, arguments);
        });
    });
}

void adamw(const Update& u, Context& context) { update<false>(u, context); }

void lamb(const Update& u, Context& context) { update<true>(u, context); }

}  // namespace dropforge::kernels::on_cuda
