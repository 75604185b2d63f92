// Attention: lengths, fewer queries than keys, strides, head sizes, dropout, large scores.
// label: simt-quick
// label: levels
#include "tests/support/kernel_testing.h"

namespace dropforge::kernels {
namespace {

struct Case {
    int64_t batch, heads, head_size, rows_q, rows_kv;
    std::vector<int32_t> lengths = {};  // empty: no padding
    float dropout = 0;
    int64_t padding = 0;  // elements between rows
    double size = 1;      // of queries: large ones make peaked probabilities
    double shift = 0;     // added to queries, taken from keys: scores, and their log-sum-exp, far below 0
};

const DropoutSource source;

std::string label(const Case& k) {
    return fmt::format("batch {} heads {} of {} rows {} x {} lengths {} dropout {} padding {} size {} shift {}",
                       k.batch, k.heads, k.head_size, k.rows_q, k.rows_kv, k.lengths.size(), k.dropout, k.padding,
                       k.size, k.shift);
}

/// Whether row r of keys and values lies beyond its sequence's length.
bool unseen(const Case& c, int64_t r) {
    return !c.lengths.empty() && r % c.rows_kv >= c.lengths[static_cast<size_t>(r / c.rows_kv)];
}

struct Tensors {
    Array q, k, v, out, lse, dout, dq, dk, dv;
    std::vector<int32_t> lengths;

    Tensors(Setup& s, const Case& c)
        : q(s.normal(c.batch * c.rows_q, c.heads * c.head_size, c.heads * c.head_size + c.padding, c.size)),
          k(s.normal(c.batch * c.rows_kv, q.columns(), q.stride())),
          v(s.normal(c.batch * c.rows_kv, q.columns(), q.stride())),
          out(s.output(q.rows(), q.columns(), q.stride() + (c.padding % 8 == 0 && c.head_size % 8 == 0 ? 8 : 3))),
          lse(s.float_output(c.batch * c.heads, c.rows_q)),
          dout(s.normal(q.rows(), q.columns(), out.stride())),
          dq(s.output(q.rows(), q.columns(), q.stride())),
          dk(s.output(k.rows(), k.columns(), k.stride())),
          dv(s.output(v.rows(), v.columns(), v.stride())),
          lengths(c.lengths) {
        const auto move = [&](Array& a, double by) {
            a.fill([&](int64_t r, int64_t column) { return s.rounded(a.at(r, column) + by); });
        };
        move(q, c.shift);
        move(k, -c.shift);
        // What lies beyond a sequence's length must not enter, not even times 0.
        for (int64_t r = 0; r < k.rows(); ++r)
            if (unseen(c, r))
                for (int64_t d = 0; d < k.columns(); ++d) {
                    k.set(r, d, std::numeric_limits<double>::quiet_NaN());
                    v.set(r, d, std::numeric_limits<double>::quiet_NaN());
                }
    }

    void forward(Setup& s, const Case& c) {
        Array scratch = scratch_of(c);
        s.call(s.kernels.attention_forward, AttentionForward{arguments(s, c, scratch), out.data(), lse.data<float>()});
    }
    void backward(Setup& s, const Case& c) {
        Array scratch = scratch_of(c);
        s.call(s.kernels.attention_backward, AttentionBackward{arguments(s, c, scratch), out.data(), dout.data(),
                                                               lse.data<float>(), dq.data(), dk.data(), dv.data()});
    }

  private:
    static Array scratch_of(const Case& c) {
        return Setup::scratch(attention_scratch_bytes(c.batch, c.heads, c.head_size, c.rows_q, c.rows_kv));
    }
    AttentionArguments arguments(const Setup& s, const Case& c, Array& scratch) {
        return {.q = q.data(),
                .k = k.data(),
                .v = v.data(),
                .lengths = lengths.empty() ? nullptr : lengths.data(),
                .scratch = scratch.data(),
                .batch = c.batch,
                .heads = c.heads,
                .head_size = c.head_size,
                .rows_q = c.rows_q,
                .rows_kv = c.rows_kv,
                .stride_q = q.stride(),
                .stride_kv = k.stride(),
                .stride_out = out.stride(),
                .scale = 1 / std::sqrt(static_cast<float>(c.head_size)),
                .dropout = source.with(c.dropout),
                .dtype = s.storage};
    }
};

const std::vector<Case>& cases() {
    static const std::vector<Case> all = {
        {1, 1, 16, 1, 1},
        {2, 3, 16, 2, 1, {}, 0.1f},
        {2, 2, 24, 33, 33, {33, 1}, 0.1f, 5},
        {3, 2, 32, 31, 31, {31, 17, 30}, 0, 2 * 64},  // padding as in fused q, k, v
        {2, 1, 64, 65, 65, {65, 64}, 0.1f, 128},
        {2, 2, 80, 16, 63, {}, 0.5f, 1},  // fewer queries: the layer that drops tokens
        {2, 2, 64, 5, 128, {3, 100}, 0.1f},
        {1, 12, 64, 128, 128, {}, 0.1f, 2 * 768},
        {2, 2, 32, 33, 40, {7, 40}, 0, 0, 30},
        {1, 1, 17, 3, 300, {257}, 0.1f, 0, 100},
        {1, 1, 16, 70, 530, {513}, 0.1f},  // queries in several blocks
        // Heads and strides that CUDA's tensor cores take, at the borders of their tiles: 16, 32, 64 queries, 16, 32,
        // 64, 128 keys.
        {1, 2, 64, 1, 1, {}, 0.1f, 64},
        {2, 1, 64, 63, 77, {77, 64}, 0.1f, 64},
        {2, 2, 64, 33, 31, {17, 16}, 0.3f, 0, 100},
        {2, 1, 64, 17, 65, {}, 0, 0, 1, 4},
        {2, 1, 64, 47, 129, {129, 128}, 0.1f},
        {1, 1, 64, 161, 300, {257}, 0.1f, 64, 30},
        {2, 1, 64, 8, 140, {5, 140}, 0.1f, 0, 1, 4},
        {2, 1, 32, 65, 63, {63, 1}, 0.1f, 32},
        {1, 1, 32, 49, 193, {161}, 0.1f},
        {2, 1, 128, 33, 64, {64, 33}, 0.1f, 128},
        {1, 1, 128, 35, 77, {65}, 0.1f, 0, 30},
    };
    return all;
}

TEST_CASE("attention: by hand") {
    // scores 0 and log 3 give probabilities 1/4 and 3/4
    Setup s(reference(), DType::f32, DType::f32, 0);
    const Case c{.batch = 1, .heads = 1, .head_size = 4, .rows_q = 1, .rows_kv = 3, .lengths = {2}};
    Tensors t(s, c);
    t.q = array(DType::f32, {2, 0, 0, 0});  // scale = 1/2
    t.k.fill([](int64_t r, int64_t) { return r == 1 ? std::log(3.0) : 0.0; });
    t.v.fill([](int64_t r, int64_t d) { return static_cast<double>(100 * r + d); });
    t.forward(s, c);
    for (int d = 0; d < 4; ++d) CHECK(std::abs(t.out.at(0, d) - (75 + d)) <= 80 * 0x1p-23);
    CHECK(std::abs(t.lse.at(0, 0) - std::log(4.0)) <= 4 * 0x1p-23);
}

TEST_CASE("attention: gradients against finite differences") {
    for (const Case& c :
         {Case{2, 2, 3, 4, 5, {5, 2}, 0, 1}, Case{2, 2, 3, 4, 5, {3, 5}, 0.3f, 1}, Case{1, 1, 2, 5, 3}}) {
        Setup s = gradient_setup();
        Tensors t(s, c);
        t.forward(s, c);
        t.backward(s, c);
        const auto loss = [&] {
            t.forward(s, c);
            Loss sum;
            sum.add(t.out, t.dout);
            return sum;
        };
        check_gradient("q", t.q, t.dq, loss);
        check_gradient("k", t.k, t.dk, loss);
        check_gradient("v", t.v, t.dv, loss);
    }
}

TEST_CASE("attention: forward") {
    for (const DType dtype : kFloatTypes) {
        for (const Case& c : cases()) {
            check_backends(
                label(c), dtype,
                [&](Setup& s) {
                    Tensors t(s, c);
                    t.forward(s, c);
                    return outputs("out", std::move(t.out), "lse", std::move(t.lse));
                },
                Repeat::other_threads, backends(&KernelTable::attention_forward, &KernelTable::attention_backward));
        }
    }
}

/// Whether the gradients of keys and values that no query saw are 0.
bool unseen_are_zero(const Tensors& t, const Case& c) {
    for (int64_t r = 0; r < t.dk.rows(); ++r) {
        if (!unseen(c, r)) continue;
        for (int64_t d = 0; d < t.dk.columns(); ++d)
            if (t.dk.at(r, d) != 0 || t.dv.at(r, d) != 0) return false;
    }
    return true;
}

TEST_CASE("attention: backward") {
    for (const DType dtype : kFloatTypes) {
        for (const Case& c : cases()) {
            if (dtype == DType::fp16 && c.rows_kv == 1) continue;  // 0, but for the order of sums of 22-bit products
            check_backends(
                label(c), dtype,
                [&](Setup& s) {
                    Setup exact(reference(), dtype, s.storage, 0);  // the saved tensors: the same for all
                    Tensors t(s, c);
                    t.forward(exact, c);
                    t.out.fill([&](int64_t r, int64_t column) { return s.rounded(t.out.at(r, column)); });
                    t.backward(s, c);
                    CHECK(unseen_are_zero(t, c));
                    return outputs("dq", std::move(t.dq), "dk", std::move(t.dk), "dv", std::move(t.dv));
                },
                Repeat::other_threads, backends(&KernelTable::attention_forward, &KernelTable::attention_backward));
        }
    }
}

}  // namespace
}  // namespace dropforge::kernels
