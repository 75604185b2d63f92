// Dropout: the generator's published answers, the coordinates of an element, and that every operation draws these bits,
// in forward and backward.
// label: simt-quick
// label: levels
#include "kernels/dropout.h"
#include "tests/support/kernel_testing.h"

namespace dropforge::kernels {
namespace {

const DropoutSource source;
constexpr float kProbability = 0.3f;

/// Whether out(r, c) is other than 0 exactly where element (row0 + r, c) is kept.
bool shows_mask(const Array& out, uint64_t row0) {
    for (int64_t r = 0; r < out.rows(); ++r)
        for (int64_t c = 0; c < out.columns(); ++c)
            if ((out.at(r, c) != 0) != kept(source.with(kProbability), row0 + static_cast<uint64_t>(r), c))
                return false;
    return true;
}

Array filled(DType dtype, int64_t rows, int64_t columns, double value) {
    Array a(dtype, rows, columns);
    a.fill([&](int64_t, int64_t) { return value; });
    return a;
}

TEST_CASE("philox4x32-10: known answers of the Random123 library") {
    CHECK(philox4x32({0, 0, 0, 0}, 0) == Philox4{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    CHECK(philox4x32({~0u, ~0u, ~0u, ~0u}, ~uint64_t{0}) == Philox4{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822) ==
          Philox4{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("dropout: an element's draw, from its coordinates") {
    const Dropout d = source.with(kProbability);
    const uint64_t key = 0x9abcdef012345678;
    for (const uint64_t row : {uint64_t{0}, uint64_t{77}, uint64_t{0xffffffff}}) {
        for (int64_t column = 0; column < 40; ++column) {
            const Philox4 block =
                philox4x32({static_cast<uint32_t>(column / 8), static_cast<uint32_t>(row), 5, 7}, key);
            uint16_t draws[8];
            for (int i = 0; i < 4; ++i) {
                draws[2 * i] = static_cast<uint16_t>(block[static_cast<size_t>(i)] & 0xffff);
                draws[2 * i + 1] = static_cast<uint16_t>(block[static_cast<size_t>(i)] >> 16);
            }
            CHECK(kept(d, row, column) == (draws[column % 8] >= 19661));  // 0.3 · 65536 = 19660.8
        }
    }
    CHECK(d.scale() == 65536.0f / (65536 - 19661));  // of the share that is really kept
    CHECK(kept({}, 0, 0));
    CHECK(dropout_factor({}, 0, 0) == 1);
}

TEST_CASE("dropout: the share that is dropped") {
    constexpr int64_t rows = 1000, columns = 256;
    int64_t dropped = 0;
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < columns; ++c) dropped += !kept(source.with(kProbability), static_cast<uint64_t>(r), c);
    const double p = 19661.0 / 65536, deviation = std::sqrt(rows * columns * p * (1 - p));
    CHECK(std::abs(static_cast<double>(dropped) - rows * columns * p) <= 4 * deviation);
}

TEST_CASE("dropout: the mask of layernorm, forward and backward") {
    for (const KernelTable* backend : backends(&KernelTable::layernorm_forward, &KernelTable::layernorm_backward)) {
        for (const DType dtype : kFloatTypes) {
            if (!computes(*backend, dtype)) continue;
            for (const int64_t columns : {1, 7, 8, 33, 100}) {
                INFO(text(*backend), " ", text(dtype), " columns ", columns);
                constexpr int64_t rows = 21, sequence = 6;
                Setup s(*backend, dtype, dtype, 0);
                Array x = filled(dtype, rows, columns, 1), z = s.output(rows, columns), y = z, dx = z;
                Array gain = filled(DType::f32, 1, columns, 1), mean(DType::f32, 1, rows), rstd = mean, sum = gain,
                      sum2 = gain;
                Array scratch = Setup::scratch(layernorm_backward_scratch_bytes(rows, columns));
                s.call(s.kernels.layernorm_forward, LayerNormForward{.x = x.data(),
                                                                     .residual = nullptr,
                                                                     .gain = gain.data<float>(),
                                                                     .bias = gain.data<float>(),
                                                                     .z = z.data(),
                                                                     .y = y.data(),
                                                                     .mean = mean.data<float>(),
                                                                     .rstd = rstd.data<float>(),
                                                                     .rows = rows,
                                                                     .columns = columns,
                                                                     .rows_per_sequence = sequence,
                                                                     .epsilon = 1e-12f,
                                                                     .dropout = source.with(kProbability),
                                                                     .dtype = dtype});
                CHECK(shows_mask(z, 3 * sequence));
                // With z = mean = 0 and gradients that add up to 0 in a row, dz is dy: never 0 (an only column gets
                // nothing).
                if (columns % 2) continue;
                z = filled(dtype, rows, columns, 0);
                mean = filled(DType::f32, 1, rows, 0);
                rstd = filled(DType::f32, 1, rows, 1);
                Array dy = s.normal(rows, columns), dz = s.output(rows, columns);
                dy.fill([](int64_t, int64_t c) { return c % 2 ? 1 : -1; });
                s.call(s.kernels.layernorm_backward, LayerNormBackward{.dy = dy.data(),
                                                                       .z = z.data(),
                                                                       .gain = gain.data<float>(),
                                                                       .mean = mean.data<float>(),
                                                                       .rstd = rstd.data<float>(),
                                                                       .dz = dz.data(),
                                                                       .dx = dx.data(),
                                                                       .dgain = sum.data<float>(),
                                                                       .dbias = sum2.data<float>(),
                                                                       .dx_sum = nullptr,
                                                                       .scratch = scratch.data(),
                                                                       .rows = rows,
                                                                       .columns = columns,
                                                                       .rows_per_sequence = sequence,
                                                                       .dropout = source.with(kProbability),
                                                                       .dtype = dtype,
                                                                       .accumulate = false});
                CHECK(shows_mask(dx, 3 * sequence));
            }
        }
    }
}

Array drop_rows(Setup& s, Array x, const Dropout& dropout, int64_t rows_per_sequence, bool in_place) {
    Array y = s.output(x.rows(), x.columns());
    s.call(s.kernels.dropout, DropoutRows{.x = x.data(),
                                          .y = in_place ? x.data() : y.data(),
                                          .rows = x.rows(),
                                          .columns = x.columns(),
                                          .rows_per_sequence = rows_per_sequence,
                                          .dropout = dropout,
                                          .dtype = x.dtype()});
    return in_place ? x : y;
}

TEST_CASE("dropout: rows: the mask, in other memory and in place") {
    constexpr int64_t rows = 21, sequence = 6;
    for (const KernelTable* backend : backends()) {
        for (const DType dtype : kFloatTypes) {
            if (!computes(*backend, dtype)) continue;
            for (const int64_t columns : {1, 7, 8, 33, 100, 1024}) {
                INFO(text(*backend), " ", text(dtype), " columns ", columns);
                Setup s(*backend, dtype, dtype, 0);
                const Array ones = filled(dtype, rows, columns, 1), x = s.normal(rows, columns);
                CHECK(shows_mask(drop_rows(s, ones, source.with(kProbability), sequence, false), 3 * sequence));
                CHECK(drop_rows(s, x, source.with(kProbability), sequence, true) ==
                      drop_rows(s, x, source.with(kProbability), sequence, false));
                CHECK(drop_rows(s, x, {}, sequence, false) == x);
            }
        }
    }
}

TEST_CASE("dropout: rows: every backend") {
    for (const DType dtype : kFloatTypes) {
        for (const auto& [rows, columns] : {std::pair{1, 1}, {31, 33}, {33, 768}, {65, 63}}) {
            const int64_t n = rows, h = columns;  // a lambda cannot capture a structured binding in clang 14
            check_backends(fmt::format("[{},{}]", n, h), dtype, [&](Setup& s) {
                return outputs("y", drop_rows(s, s.normal(n, h), source.with(kProbability), 1, false));
            });
        }
    }
}

TEST_CASE("dropout: the mask of the embeddings, forward and backward") {
    constexpr int64_t sequence = 7, rows = 3 * sequence, columns = 34;
    for (const KernelTable* backend : backends()) {
        INFO(text(*backend));
        Setup s(*backend, DType::f32, DType::f32, 0);
        Array table = filled(DType::f32, sequence, columns, 1), gain = filled(DType::f32, 1, columns, 1),
              y(DType::f32, rows, columns);
        Array ids = filled(DType::i32, 1, rows, 0), mean = filled(DType::f32, 1, rows, 0),
              rstd = filled(DType::f32, 1, rows, 1);
        s.call(s.kernels.embedding_forward, EmbeddingForward{.ids = ids.data<int32_t>(),
                                                             .types = nullptr,
                                                             .word = table.data<float>(),
                                                             .position = table.data<float>(),
                                                             .type = table.data<float>(),
                                                             .gain = gain.data<float>(),
                                                             .bias = gain.data<float>(),
                                                             .y = y.data(),
                                                             .mean = mean.data<float>(),
                                                             .rstd = rstd.data<float>(),
                                                             .rows = rows,
                                                             .sequence = sequence,
                                                             .columns = columns,
                                                             .epsilon = 1,
                                                             .dropout = source.with(kProbability),
                                                             .dtype = DType::f32});
        CHECK(shows_mask(y, 3 * sequence));

        // The bias gradient of one sequence of one row is that row after dropout.
        Array dy = filled(DType::f32, 1, columns, 1), sums(DType::f32, 1, columns), dgain = sums, dposition = sums,
              dtype = sums;
        Array dword = filled(DType::f32, 1, columns, 0),
              scratch = Setup::scratch(embedding_backward_scratch_bytes(1, columns));
        s.call(s.kernels.embedding_backward, EmbeddingBackward{.dy = dy.data(),
                                                               .ids = ids.data<int32_t>(),
                                                               .types = nullptr,
                                                               .word = table.data<float>(),
                                                               .position = table.data<float>(),
                                                               .type = table.data<float>(),
                                                               .gain = gain.data<float>(),
                                                               .mean = mean.data<float>(),
                                                               .rstd = rstd.data<float>(),
                                                               .dword = dword.data<float>(),
                                                               .dposition = dposition.data<float>(),
                                                               .dtype_table = dtype.data<float>(),
                                                               .dgain = dgain.data<float>(),
                                                               .dbias = sums.data<float>(),
                                                               .scratch = scratch.data(),
                                                               .rows = 1,
                                                               .sequence = 1,
                                                               .columns = columns,
                                                               .positions = 1,
                                                               .type_count = 1,
                                                               .dropout = source.with(kProbability),
                                                               .dtype = DType::f32,
                                                               .accumulate = false});
        CHECK(shows_mask(sums, 3));
    }
}

void check_attention_mask(int64_t size, int64_t rows_q, int64_t rows_kv) {
    constexpr int64_t batch = 2, heads = 3;
    const int64_t width = heads * size;
    for (const KernelTable* backend : backends(&KernelTable::attention_forward, &KernelTable::attention_backward)) {
        for (const DType dtype : kFloatTypes) {
            if (!computes(*backend, dtype)) continue;
            INFO(text(*backend), " ", text(dtype), " heads of ", size);
            Setup s(*backend, dtype, dtype, 0);
            Array q = filled(dtype, batch * rows_q, width, 0), k = filled(dtype, batch * rows_kv, width, 0), v = k,
                  dout = q;
            v.fill([&](int64_t r, int64_t c) { return r % rows_kv == c % size ? 1 : 0; });
            dout.fill([&](int64_t r, int64_t c) { return r % rows_q == c % size ? 1 : 0; });
            Array out = s.output(q.rows(), width), dq = out, dk = s.output(k.rows(), width), dv = dk,
                  lse(DType::f32, batch * heads, rows_q);
            Array scratch = Setup::scratch(attention_scratch_bytes(batch, heads, size, rows_q, rows_kv));
            const AttentionArguments arguments{.q = q.data(),
                                               .k = k.data(),
                                               .v = v.data(),
                                               .lengths = nullptr,
                                               .scratch = scratch.data(),
                                               .batch = batch,
                                               .heads = heads,
                                               .head_size = size,
                                               .rows_q = rows_q,
                                               .rows_kv = rows_kv,
                                               .stride_q = width,
                                               .stride_kv = width,
                                               .stride_out = width,
                                               .scale = 1,
                                               .dropout = source.with(kProbability),
                                               .dtype = dtype};
            s.call(s.kernels.attention_forward, AttentionForward{arguments, out.data(), lse.data<float>()});
            s.call(s.kernels.attention_backward, AttentionBackward{arguments, out.data(), dout.data(),
                                                                   lse.data<float>(), dq.data(), dk.data(), dv.data()});
            for (int64_t b = 0; b < batch; ++b) {
                for (int64_t h = 0; h < heads; ++h) {
                    Array forward(DType::f32, rows_q, rows_kv), backward = forward;
                    forward.fill([&](int64_t i, int64_t j) { return out.at(b * rows_q + i, h * size + j); });
                    backward.fill([&](int64_t i, int64_t j) { return dv.at(b * rows_kv + j, h * size + i); });
                    const auto row0 = static_cast<uint64_t>(((3 + b) * heads + h) * rows_q);
                    CHECK(shows_mask(forward, row0));
                    CHECK(shows_mask(backward, row0));
                }
            }
        }
    }
}

TEST_CASE("dropout: the mask of attention, forward and backward") {
    // Equal scores, and one-hot values (or one-hot output gradients), lay the mask bare: out[i,j] = m[i,j]/keys =
    // dv[j,i]. Neither queries nor keys may be more than the columns of a head.
    check_attention_mask(16, 5, 13);
    check_attention_mask(32, 29, 31);
    check_attention_mask(64, 37, 61);
    check_attention_mask(128, 70, 127);
}

}  // namespace
}  // namespace dropforge::kernels
