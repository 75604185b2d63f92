#include "kernels/cuda/attention/attention_check.h"

#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "base/error.h"
#include "kernels/cuda/attention/attention_reference.h"
#include "kernels/cuda/attention/functions.h"
#include "kernels/cuda/runtime/check_rows.cuh"

namespace dropforge::kernels::on_cuda {

namespace {

/// Scaled scores of the hard operands: below -88.7, where exp(0 - log-sum-exp) is no longer a finite float.
constexpr float kLowScore = -100;
constexpr int kTimedRuns = 5;

/// q, k and v as the engine lays them out: next to each other in a row, or in separate tensors.
class Rows {
  public:
    Rows(const AttentionShape& s)
        : together_(s.rows_q == s.rows_kv && s.stride_q == s.stride_kv && s.stride_q >= 3 * s.columns()),
          pair_(s.stride_kv >= 2 * s.columns()),
          q_bytes_(2 * s.batch * s.rows_q * s.stride_q),
          kv_bytes_(2 * s.batch * s.rows_kv * s.stride_kv),
          column_bytes_(2 * s.columns()),
          q_(device_memory(q_bytes_)),
          k_(together_ ? nullptr : device_memory(kv_bytes_)),
          v_(together_ || pair_ ? nullptr : device_memory(kv_bytes_)) {}

    void* q() const { return q_.get(); }
    void* k() const { return together_ ? after(q_, 1) : k_.get(); }
    void* v() const { return together_ ? after(q_, 2) : pair_ ? after(k_, 1) : v_.get(); }

  private:
    void* after(const DeviceMemory& memory, int64_t blocks) const {
        return static_cast<std::byte*>(memory.get()) + blocks * column_bytes_;
    }
    bool together_, pair_;
    int64_t q_bytes_, kv_bytes_, column_bytes_;
    DeviceMemory q_, k_, v_;
};

/// The outputs of the plan, or of our own kernels.
struct Results {
    explicit Results(const AttentionShape& s)
        : gradients(s),
          out(device_memory(2 * s.batch * s.rows_q * s.stride_out)),
          lse(device_memory(4 * s.batch * s.heads * s.rows_q)) {}
    Rows gradients;
    DeviceMemory out, lse;
};

class Check {
  public:
    Check(const AttentionShape& shape, AttentionPlan& plan, void* workspace, CudaContext& context)
        : s_(shape), plan_(plan), workspace_(workspace), context_(context) {
        for (int64_t b = 0; b < s_.batch; ++b) {
            // The first sequence is full and the last one long, since heads of these two are recomputed.
            const int64_t length =
                b == s_.batch - 1 && b > 0 ? s_.rows_kv - s_.rows_kv / 3 : s_.rows_kv - b * 37 % s_.rows_kv;
            lengths_.push_back(static_cast<int32_t>(length));
        }
        context_.upload(state_.get(), kState.data(), sizeof kState);
        context_.upload(device_lengths_.get(), lengths_.data(), s_.batch * 4);
        context_.synchronize();
    }

    AttentionVerdict run() {
        if (s_.dropout > 0) find_masks();
        try_operands("random operands", 0);
        try_operands("scores of -100", kLowScore);
        if (verdict_.trouble.empty()) time();
        return verdict_;
    }

  private:
    static constexpr std::array<uint32_t, 4> kState = {0x243f6a88u, 0x85a308d3u, 1, 0};
    static constexpr int64_t kHeads = 2;  // heads that are recomputed: the first and the last of all

    CheckRows queries(void* x) const { return {x, s_.batch * s_.rows_q, s_.columns(), s_.stride_q, s_.dtype}; }
    CheckRows keys(void* x) const { return {x, s_.batch * s_.rows_kv, s_.columns(), s_.stride_kv, s_.dtype}; }
    CheckRows outputs(void* x) const { return {x, s_.batch * s_.rows_q, s_.columns(), s_.stride_out, s_.dtype}; }
    CheckRows lse(void* x) const { return {x, s_.batch * s_.heads, s_.rows_q, s_.rows_q, DType::f32}; }

    Dropout dropout() const {
        return {.state = static_cast<const uint32_t*>(state_.get()), .site = 0, .probability = s_.dropout};
    }
    AttentionArguments arguments() const {
        return {.q = operands_.q(),
                .k = operands_.k(),
                .v = operands_.v(),
                .lengths = static_cast<const int32_t*>(device_lengths_.get()),
                .scratch = scratch_.get(),
                .batch = s_.batch,
                .heads = s_.heads,
                .head_size = s_.head_size,
                .rows_q = s_.rows_q,
                .rows_kv = s_.rows_kv,
                .stride_q = s_.stride_q,
                .stride_kv = s_.stride_kv,
                .stride_out = s_.stride_out,
                .scale = s_.scale,
                .dropout = dropout(),
                .dtype = s_.dtype};
    }

    void forward(const Results& r, bool own) {
        AttentionForward a{arguments()};
        a.out = r.out.get();
        a.lse = static_cast<float*>(r.lse.get());
        if (own)
            attention_forward(a, context_);
        else
            plan_.forward(a, workspace_);
    }
    void backward(const Results& r, bool own) {
        AttentionBackward a{arguments()};
        a.out = r.out.get();
        a.dout = dout_.get();
        a.lse = static_cast<const float*>(r.lse.get());
        a.dq = r.gradients.q();
        a.dk = r.gradients.k();
        a.dv = r.gradients.v();
        if (own)
            attention_backward(a, context_);
        else
            plan_.backward(a, workspace_);
    }
    void both(const Results& r, bool own) {
        forward(r, own);
        backward(r, own);
    }

    /// Fills the operands. `score` is the value near which all scaled scores lie, or 0 for random ones. It is made by
    /// the first columns; that of the keys is small, since it multiplies rounding errors of score gradients in dq.
    void set_operands(float score) {
        fill_random_heads(queries(operands_.q()), 1, s_.head_size, score, context_);
        fill_random_heads(keys(operands_.k()), 2, s_.head_size, score == 0 ? 0 : 1 / s_.scale, context_);
        fill_random_heads(keys(operands_.v()), 3, s_.head_size, 0, context_);
        fill_random_heads(outputs(dout_.get()), 4, s_.head_size, 0, context_);
    }
    void forget(const Results& r) {
        constexpr float nan = std::numeric_limits<float>::quiet_NaN();
        fill_value(outputs(r.out.get()), nan, context_);
        fill_value(queries(r.gradients.q()), nan, context_);
        fill_value(keys(r.gradients.k()), nan, context_);
        fill_value(keys(r.gradients.v()), nan, context_);
    }

    void fail(const std::string& operands, const char* tensor, const std::string& what) {
        if (verdict_.trouble.empty()) verdict_.trouble = fmt::format("{}, {}: {}", operands, tensor, what);
    }
    void judge(const std::string& operands, const char* tensor, double error) {
        if (!(error <= verdict_.error)) verdict_.error = error;
        if (!(error <= relative_limit(s_.dtype))) fail(operands, tensor, fmt::format("off by {:.2g}, relative", error));
    }

    void try_operands(const std::string& operands, float score) {
        set_operands(score);
        forget(of_plan_);
        both(of_plan_, false);
        both(own_, true);
        const auto beside_own = [&](const char* tensor, const CheckRows& rows, const void* own, bool same) {
            const Difference d = difference(rows, own, partial(), context_);
            if (d.not_finite > 0) fail(operands, tensor, fmt::format("{} numbers are not finite", d.not_finite));
            if (same) judge(operands, tensor, d.relative());
        };
        const bool same = s_.dropout == 0;  // with dropout the two draw different bits
        const Rows &g = of_plan_.gradients, &own = own_.gradients;
        beside_own("lse", lse(of_plan_.lse.get()), own_.lse.get(), true);
        beside_own("out", outputs(of_plan_.out.get()), own_.out.get(), same);
        beside_own("dq", queries(g.q()), own.q(), same);
        beside_own("dk", keys(g.k()), own.k(), same);
        beside_own("dv", keys(g.v()), own.v(), same);
        for (int64_t i = 0; i < (same ? 0 : kHeads); ++i) beside_reference(operands, i);
    }

    // ---------------------------------------------------------------------------------------------------- dropout
    int64_t sequence(int64_t nth) const { return nth == 0 ? 0 : s_.batch - 1; }
    int64_t head(int64_t nth) const { return nth == 0 ? 0 : s_.heads - 1; }

    /// One head of a sequence, [rows, head_size].
    std::vector<double> fetch(const void* x, int64_t rows, int64_t stride, int64_t nth) {
        std::vector<double> values;
        with_float_type(s_.dtype, [&](auto type) {
            using T = decltype(type);
            std::vector<T> all(static_cast<size_t>((rows - 1) * stride + s_.columns()));
            const auto* from = static_cast<const T*>(x) + sequence(nth) * rows * stride;
            context_.download(all.data(), from, static_cast<int64_t>(all.size() * sizeof(T)));
            context_.synchronize();
            for (int64_t r = 0; r < rows; ++r)
                for (int64_t d = 0; d < s_.head_size; ++d)
                    values.push_back(static_cast<double>(
                        static_cast<float>(all[static_cast<size_t>(r * stride + head(nth) * s_.head_size + d)])));
        });
        return values;
    }

    /// Reads the mask from the outputs of equal scores and values that are unit vectors: an output is not 0 where its
    /// probability was kept.
    void find_masks() {
        fill_value(queries(operands_.q()), 0, context_);
        fill_value(keys(operands_.k()), 0, context_);
        for (auto& mask : masks_) mask.assign(static_cast<size_t>(s_.rows_q * s_.rows_kv), false);
        for (int64_t first = 0; first < s_.rows_kv; first += s_.head_size) {
            fill_units(keys(operands_.v()), s_.rows_kv, first, s_.head_size, context_);
            forward(of_plan_, false);
            for (int64_t i = 0; i < kHeads; ++i) {
                const std::vector<double> out = fetch(of_plan_.out.get(), s_.rows_q, s_.stride_out, i);
                for (int64_t r = 0; r < s_.rows_q; ++r)
                    for (int64_t d = 0; d < std::min(s_.head_size, s_.rows_kv - first); ++d)
                        masks_[static_cast<size_t>(i)][static_cast<size_t>(r * s_.rows_kv + first + d)] =
                            out[static_cast<size_t>(r * s_.head_size + d)] != 0;
            }
        }
        for (int64_t i = 0; i < kHeads; ++i) count_kept(i);
        const bool one_head = s_.batch * s_.heads == 1;
        if (!one_head && masks_[0] == masks_[1]) fail("dropout", "mask", "two heads have the same");
    }

    void count_kept(int64_t nth) {
        const int64_t keys = lengths_[static_cast<size_t>(sequence(nth))], drawn = s_.rows_q * keys;
        const auto kept = static_cast<double>(std::ranges::count(masks_[static_cast<size_t>(nth)], true));
        const auto n = static_cast<double>(drawn), p = static_cast<double>(s_.dropout);
        constexpr double kSigmas = 6;
        if (!(std::abs(kept - n * (1 - p)) <= kSigmas * std::sqrt(n * p * (1 - p))))
            fail("dropout", "mask", fmt::format("{} of {} stay where {} are to be dropped", kept, drawn, p));
    }

    void beside_reference(const std::string& operands, int64_t nth) {
        const Rows& g = of_plan_.gradients;
        AttentionHead h{.rows_q = s_.rows_q,
                        .rows_kv = s_.rows_kv,
                        .head_size = s_.head_size,
                        .keys = lengths_[static_cast<size_t>(sequence(nth))],
                        .scale = static_cast<double>(s_.scale),
                        .dropout = static_cast<double>(s_.dropout),
                        .q = fetch(operands_.q(), s_.rows_q, s_.stride_q, nth),
                        .k = fetch(operands_.k(), s_.rows_kv, s_.stride_kv, nth),
                        .v = fetch(operands_.v(), s_.rows_kv, s_.stride_kv, nth),
                        .dout = fetch(dout_.get(), s_.rows_q, s_.stride_out, nth),
                        .kept = masks_[static_cast<size_t>(nth)]};
        const AttentionHeadResult truth = attention_of_head(h);
        const auto compare = [&](const char* tensor, const void* x, int64_t rows, int64_t stride,
                                 const std::vector<double>& right) {
            const std::vector<double> values = fetch(x, rows, stride, nth);
            Difference d;
            for (size_t i = 0; i < right.size(); ++i) {
                d.squares += (values[i] - right[i]) * (values[i] - right[i]);
                d.of += right[i] * right[i];
            }
            judge(operands, tensor, d.relative());
        };
        compare("out", of_plan_.out.get(), s_.rows_q, s_.stride_out, truth.out);
        compare("dq", g.q(), s_.rows_q, s_.stride_q, truth.dq);
        compare("dk", g.k(), s_.rows_kv, s_.stride_kv, truth.dk);
        compare("dv", g.v(), s_.rows_kv, s_.stride_kv, truth.dv);
    }

    // ------------------------------------------------------------------------------------------------------- times
    void time() {
        verdict_.microseconds = time_of(of_plan_, false);
        verdict_.own_microseconds = time_of(own_, true);
    }
    double time_of(const Results& r, bool own) {
        using Clock = std::chrono::steady_clock;
        const std::unique_ptr<Recording> recording = context_.record([&] { both(r, own); });  // training replays it too
        recording->run();
        context_.synchronize();
        const Clock::time_point begin = Clock::now();
        for (int i = 0; i < kTimedRuns; ++i) recording->run();
        context_.synchronize();
        return std::chrono::duration<double, std::micro>(Clock::now() - begin).count() / kTimedRuns;
    }

    float* partial() const { return static_cast<float*>(partial_.get()); }

    const AttentionShape s_;
    AttentionPlan& plan_;
    void* workspace_;
    CudaContext& context_;
    std::vector<int32_t> lengths_;
    std::array<std::vector<bool>, kHeads> masks_;
    AttentionVerdict verdict_;
    Rows operands_{s_};
    Results of_plan_{s_}, own_{s_};
    DeviceMemory dout_ = device_memory(2 * s_.batch * s_.rows_q * s_.stride_out);
    DeviceMemory scratch_ =
        device_memory(attention_scratch_bytes(s_.batch, s_.heads, s_.head_size, s_.rows_q, s_.rows_kv));
    DeviceMemory partial_ =
        device_memory(difference_scratch_bytes(s_.batch * std::max(s_.rows_q, s_.rows_kv), s_.columns()));
    DeviceMemory state_ = device_memory(sizeof kState), device_lengths_ = device_memory(4 * s_.batch);
};

}  // namespace

AttentionVerdict check_attention(const AttentionShape& shape, AttentionPlan& plan, void* workspace,
                                 CudaContext& context) {
    return Check(shape, plan, workspace, context).run();
}

}  // namespace dropforge::kernels::on_cuda
