// Gradient norm, AdamW and LAMB over the flat arenas. They are bound by memory bandwidth, so each reads and writes
// every element as few times as possible.
#include <omp.h>

#include <cmath>

#include "kernels/cpu/dtype.h"
#include "kernels/cpu/functions.h"
#include "kernels/cpu/parallel.h"

namespace dropforge::kernels::on_cpu {

namespace {

/// A piece of a segment; `index` counts the blocks of all segments, `first` is the index of the segment's first.
struct Block {
    const Segment& segment;
    int64_t index, first, begin, size;
};

/// Calls f(block) for the blocks that begin in share `part` of `parts` of all elements.
template <typename F>
void for_blocks_of(std::span<const Segment> segments, int64_t elements, int part, int parts, F&& f) {
    const int64_t begin = block_begin(elements, part, parts), end = block_begin(elements, part + 1, parts);
    int64_t passed = 0, first = 0;
    for (const Segment& s : segments) {
        for (int64_t at = 0; at < s.size; at += kSegmentBlock, passed += kSegmentBlock) {
            if (passed < begin || passed >= end) continue;
            f(Block{s, first + at / kSegmentBlock, first, s.offset + at, std::min(kSegmentBlock, s.size - at)});
        }
        passed += s.size - segment_blocks(s.size) * kSegmentBlock;
        first += segment_blocks(s.size);
    }
}

/// Calls f(block) for all blocks, shared out evenly to the threads by elements.
template <typename F>
void for_blocks(std::span<const Segment> segments, F&& f) {
    int64_t elements = 0;
    for (const Segment& s : segments) elements += s.size;
    on_threads(elements >= kWorthThreads,
               [&] { for_blocks_of(segments, elements, omp_get_thread_num(), omp_get_num_threads(), f); });
}

/// A sum of squares in double.
class SumOfSquares {
  public:
    void add(f32v x) {
        const auto [low, high] = in_double(x);
        low_ += low * low;
        high_ += high * high;
    }
    double total() const {
        const f64v lanes = low_ + high_;
        double sum = 0;
        for (int i = 0; i < kLanes / 2; ++i) sum += lanes[i];
        return sum;
    }

  private:
    f64v low_{}, high_{};
};

/// The part of an update that AdamW and LAMB share.
class Moments {
  public:
    explicit Moments(const Update& u)
        : u_(u),
          scalars_(*u.scalars),
          factor_((scalars_.clip > 0 && *u.norm > scalars_.clip ? scalars_.clip / *u.norm : 1.0f) *
                  scalars_.gradient_factor) {}

    /// Moves the moments of elements i … by the clipped gradient.
    template <typename Count>
    void move(int64_t i, Count count) const {
        const f32v g = load(u_.gradients + i, count) * factor_;
        store(u_.moment1 + i, scalars_.beta1 * load(u_.moment1 + i, count) + (1.0f - scalars_.beta1) * g, count);
        store(u_.moment2 + i, scalars_.beta2 * load(u_.moment2 + i, count) + (1.0f - scalars_.beta2) * g * g, count);
    }
    /// m̂ / (√v̂ + ε) + weight decay * p.
    template <typename Count>
    f32v direction(int64_t i, f32v p, bool decay, Count count) const {
        const f32v m = load(u_.moment1 + i, count) * (1.0f / scalars_.correction1);
        const f32v v = load(u_.moment2 + i, count) * (1.0f / scalars_.correction2);
        return m / (sqrt(v) + scalars_.epsilon) + (decay ? scalars_.weight_decay : 0.0f) * p;
    }
    template <typename Count>
    void step(int64_t i, f32v p, Count count) const {
        store(u_.parameters + i, p, count);
        if (u_.copy) store_exactly(static_cast<bf16*>(u_.copy) + i, p, count);
    }

  private:
    const Update& u_;
    UpdateScalars scalars_;
    float factor_;
};

/// Computes LAMB's learning rate of each segment, ‖p‖ / ‖direction‖ times the segment's share of `learning_rate`, from
/// the partial norms of its blocks, and stores it in the place of the first.
void trust_ratios(std::span<const Segment> segments, double* partials, double learning_rate) {
    for (const Segment& s : segments) {
        const double rate = learning_rate * s.rate;
        double weights = 0, directions = 0;
        for (int64_t i = 0; i < segment_blocks(s.size); ++i) {
            weights += partials[2 * i];
            directions += partials[2 * i + 1];
        }
        if (s.size > 0)
            *partials = s.decay && weights > 0 && directions > 0 ? rate * std::sqrt(weights / directions) : rate;
        partials += 2 * segment_blocks(s.size);
    }
}

}  // namespace

void global_norm(const GlobalNorm& n, Context&) {
    auto* partials = static_cast<double*>(n.scratch);
    for_blocks(n.segments, [&](const Block& block) {
        SumOfSquares squares;
        for_columns(block.size,
                    [&](int64_t j, auto count) { squares.add(load(n.gradients + block.begin + j, count)); });
        partials[block.index] = squares.total();
    });
    double total = 0;
    for (const Segment& s : n.segments)
        for (int64_t i = 0; i < segment_blocks(s.size); ++i) total += *partials++;
    *n.norm = static_cast<float>(std::sqrt(total));
}

void adamw(const Update& u, Context&) {
    refuse_fp16(u.copy_dtype);
    if (!std::isfinite(*u.norm)) return;
    for_blocks(u.segments, [&, moments = Moments(u)](const Block& block) {
        const float rate = u.scalars->learning_rate * block.segment.rate;
        for_columns(block.size, [&](int64_t j, auto count) {
            const int64_t i = block.begin + j;
            moments.move(i, count);
            const f32v p = load(u.parameters + i, count);
            moments.step(i, p - rate * moments.direction(i, p, block.segment.decay, count), count);
        });
    });
}

void lamb(const Update& u, Context&) {
    refuse_fp16(u.copy_dtype);
    if (!std::isfinite(*u.norm)) return;
    const Moments moments(u);
    auto* partials = static_cast<double*>(u.scratch);
    for_blocks(u.segments, [&](const Block& block) {
        SumOfSquares weights, directions;
        for_columns(block.size, [&](int64_t j, auto count) {
            const int64_t i = block.begin + j;
            moments.move(i, count);
            const f32v p = load(u.parameters + i, count);
            weights.add(p);
            directions.add(only(count, moments.direction(i, p, block.segment.decay, count)));
        });
        partials[2 * block.index] = weights.total();
        partials[2 * block.index + 1] = directions.total();
    });
    trust_ratios(u.segments, partials, u.scalars->learning_rate);
    for_blocks(u.segments, [&](const Block& block) {
        const auto rate = static_cast<float>(partials[2 * block.first]);
        for_columns(block.size, [&](int64_t j, auto count) {
            const int64_t i = block.begin + j;
            const f32v p = load(u.parameters + i, count);
            moments.step(i, p - rate * moments.direction(i, p, block.segment.decay, count), count);
        });
    });
}

}  // namespace dropforge::kernels::on_cpu
