// GEMM: layouts, leading dimensions, bias, accumulation, epilogues.
// label: simt-quick
// label: levels
#include "tests/support/kernel_testing.h"
#if DROPFORGE_CUDA_TESTED
#include "kernels/cuda/gemm/functions.h"
#endif

namespace dropforge::kernels {
namespace {

struct Case {
    int64_t m, n, k;
    int64_t padding = 0;  // between the rows of all three
};

struct Variant {
    bool transpose_a, transpose_b, bias, accumulate;
    DType dtype, out;
    bool sums = false;  // of a
};

Outputs run(Setup& s, const Case& x, const Variant& v) {
    const auto matrix = [&](bool transpose, int64_t rows, int64_t columns) {
        return transpose ? s.normal(columns, rows, rows + x.padding) : s.normal(rows, columns, columns + x.padding);
    };
    Array a = matrix(v.transpose_a, x.m, x.k), b = matrix(v.transpose_b, x.k, x.n), bias = s.floats(1, x.n);
    Array c(v.out == DType::f32 ? DType::f32 : s.storage, x.m, x.n, x.n + x.padding);
    Array sums = s.floats(1, x.m), scratch = Setup::scratch(column_sum_scratch_bytes(x.k, x.m));
    if (v.accumulate)
        c.fill([&](int64_t r, int64_t column) { return s.rounded(0.1 * static_cast<double>(r - column)); });
    s.call(s.kernels.gemm, Gemm{.a = a.data(),
                                .b = b.data(),
                                .c = c.data(),
                                .bias = v.bias ? bias.data<float>() : nullptr,
                                .m = x.m,
                                .n = x.n,
                                .k = x.k,
                                .lda = a.stride(),
                                .ldb = b.stride(),
                                .ldc = c.stride(),
                                .transpose_a = v.transpose_a,
                                .transpose_b = v.transpose_b,
                                .accumulate = v.accumulate,
                                .dtype = s.storage,
                                .out = c.dtype(),
                                .bias_gradient = v.sums ? sums.data<float>() : nullptr,
                                .scratch = scratch.data()});
    return v.sums ? outputs("c", std::move(c), "sums", std::move(sums)) : outputs("c", std::move(c));
}

void check(const Case& x, const Variant& v,
           const std::vector<const KernelTable*>& tables = backends(&KernelTable::gemm)) {
    const auto label = fmt::format("{}x{}x{} +{} transposes {} {} bias {} accumulate {} out {}", x.m, x.n, x.k,
                                   x.padding, v.transpose_a, v.transpose_b, v.bias, v.accumulate, name_of(v.out));
    check_backends(
        label, v.dtype, [&](Setup& s) { return run(s, x, v); }, Repeat::same_threads, tables);
}

TEST_CASE("gemm: small integers are exact in every layout") {
    // [1 2 3; 4 5 6] · [7 8; 9 10; 11 12] = [58 64; 139 154]; all of it exact in 16 bits
    const double a[2][3] = {{1, 2, 3}, {4, 5, 6}}, b[3][2] = {{7, 8}, {9, 10}, {11, 12}},
                 c[2][2] = {{58, 64}, {139, 154}};
    for (const KernelTable* backend : backends(&KernelTable::gemm)) {
        for (const DType dtype : kFloatTypes) {
            if (!computes(*backend, dtype)) continue;
            for (int layout = 0; layout < 4; ++layout) {
                INFO(text(*backend), " ", text(dtype), " layout ", layout);
                const bool ta = layout & 1, tb = layout & 2;
                Setup s(*backend, dtype, dtype, 0);
                Array left(dtype, ta ? 3 : 2, ta ? 2 : 3), right(dtype, tb ? 2 : 3, tb ? 3 : 2), product(dtype, 2, 2);
                left.fill([&](int64_t i, int64_t j) { return ta ? a[j][i] : a[i][j]; });
                right.fill([&](int64_t i, int64_t j) { return tb ? b[j][i] : b[i][j]; });
                s.call(s.kernels.gemm, Gemm{.a = left.data(),
                                            .b = right.data(),
                                            .c = product.data(),
                                            .bias = nullptr,
                                            .m = 2,
                                            .n = 2,
                                            .k = 3,
                                            .lda = left.stride(),
                                            .ldb = right.stride(),
                                            .ldc = 2,
                                            .transpose_a = ta,
                                            .transpose_b = tb,
                                            .accumulate = false,
                                            .dtype = dtype,
                                            .out = dtype});
                for (int i = 0; i < 4; ++i) CHECK(product.at(i / 2, i % 2) == c[i / 2][i % 2]);
            }
        }
    }
}

TEST_CASE("gemm: every variant on odd shapes") {
    for (const Case& x : {Case{1, 1, 1}, {1, 33, 65}, {2, 1, 31, 3}, {63, 65, 33, 1}, {65, 31, 2}, {33, 63, 64, 8}}) {
        for (int bits = 0; bits < 16; ++bits) {
            const bool ta = bits & 1, tb = bits & 2, bias = bits & 4, accumulate = bits & 8;
            for (const DType dtype : kFloatTypes) check(x, {ta, tb, bias, accumulate, dtype, dtype});
            for (const DType dtype : {DType::bf16, DType::fp16})
                check(x, {ta, tb, bias, accumulate, dtype, DType::f32});
        }
    }
}

TEST_CASE("gemm: a classifier's few columns: logits in f32, and both gradients of them") {
    constexpr int64_t rows = 33, hidden = 72;
    for (const int64_t classes : {1, 2, 3, 9}) {
        for (const DType dtype : kFloatTypes) {
            check({rows, classes, hidden}, {false, true, true, false, dtype, DType::f32});
            check({classes, hidden, rows}, {true, false, false, classes == 3, dtype, DType::f32, true});
            check({rows, hidden, classes}, {false, false, false, false, dtype, dtype});
        }
    }
}

#if DROPFORGE_CUDA_TESTED
TEST_CASE("gemm: the kernel that serves what cuBLASLt does not take") {
    const KernelTable ours = [] {
        KernelTable table = cuda();
        table.gemm = on_cuda::gemm_small;
        return table;
    }();
    for (const Case& x : {Case{1, 1, 1}, {33, 31, 65, 3}, {63, 65, 33}}) {
        for (int bits = 0; bits < 16; ++bits) {
            const bool ta = bits & 1, tb = bits & 2, bias = bits & 4, accumulate = bits & 8;
            for (const DType dtype : kFloatTypes) check(x, {ta, tb, bias, accumulate, dtype, dtype}, {&ours});
            for (const DType dtype : {DType::bf16, DType::fp16})
                check(x, {ta, tb, bias, accumulate, dtype, DType::f32}, {&ours});
        }
    }
}
#endif

TEST_CASE("gemm: the bias gradient with the weight gradient") {
    for (const Case& x : {Case{1, 1, 1}, {33, 31, 65, 3}, {64, 32, 128}, {3, 16, 1003, 1}}) {
        for (const DType dtype : kFloatTypes) {
            for (const bool accumulate : {false, true})
                check(x, {true, false, false, accumulate, dtype, DType::f32, true}, backends(&KernelTable::gemm));
        }
    }
}

struct GeluCase {
    bool slope, bias;
};

/// c = a·bᵀ + bias and gelu(c), or c = (a·b) ⊙ gelu'(input).
Outputs run_gelu(Setup& s, const Case& x, const GeluCase& v, Gelu form) {
    Array a = s.normal(x.m, x.k), b = v.slope ? s.normal(x.k, x.n) : s.normal(x.n, x.k), bias = s.floats(1, x.n);
    Array matrix = v.slope ? s.normal(x.m, x.n) : Array(s.storage, x.m, x.n), c(s.storage, x.m, x.n);
    s.call(s.kernels.gemm, Gemm{.a = a.data(),
                                .b = b.data(),
                                .c = c.data(),
                                .bias = v.bias ? bias.data<float>() : nullptr,
                                .m = x.m,
                                .n = x.n,
                                .k = x.k,
                                .lda = x.k,
                                .ldb = b.stride(),
                                .ldc = x.n,
                                .transpose_a = false,
                                .transpose_b = !v.slope,
                                .accumulate = false,
                                .dtype = s.storage,
                                .out = s.storage,
                                .gelu = {.form = form,
                                         .output = v.slope ? nullptr : matrix.data(),
                                         .input = v.slope ? matrix.data() : nullptr}});
    return v.slope ? outputs("c", std::move(c)) : outputs("c", std::move(c), "gelu", std::move(matrix));
}

TEST_CASE("gemm: epilogues with GELU and its slope") {
    for (const Case& x : {Case{1, 33, 3}, {33, 31, 5}, {40, 72, 16}}) {
        for (const Gelu form : {Gelu::erf, Gelu::tanh}) {
            for (const DType dtype : kFloatTypes) {
                for (const GeluCase& v : {GeluCase{false, true}, {false, false}, {true, false}}) {
                    const auto label = fmt::format("{}x{}x{} slope {} bias {} form {}", x.m, x.n, x.k, v.slope, v.bias,
                                                   static_cast<int>(form));
                    check_backends(
                        label, dtype, [&](Setup& s) { return run_gelu(s, x, v, form); }, Repeat::same_threads,
                        backends(&KernelTable::gemm));
                }
            }
        }
    }
}

TEST_CASE("gemm: vocabularies and long sums") {
    for (const DType dtype : kFloatTypes) {
        check({3, 1003, 64, 21}, {false, true, true, false, dtype, dtype});       // logits, rows 1024 apart
        check({3, 64, 1003, 21}, {false, false, false, false, dtype, dtype});     // their gradient at the hidden states
        check({1003, 16, 5, 21}, {true, false, false, true, dtype, DType::f32});  // and at the word embeddings
        check({2, 30522, 16, 70}, {false, true, true, false, dtype, dtype});
        check({17, 9, 4099}, {true, false, false, true, dtype, DType::f32});  // a weight gradient over many rows
    }
}

TEST_CASE("gemm: our blocks do not show: many rows, chunks of columns, passes over k, any number of threads") {
    for (const DType dtype : kFloatTypes) {
        if (!computes(cpu(), dtype)) continue;
        for (const auto& [shape, transposes] : {std::pair{Case{300, 50, 20, 1}, 0},
                                                {{2, 2200, 2100}, 2},
                                                {{131, 17, 2051}, 1},
                                                {{35, 803, 299, 1}, 0},
                                                {{35, 803, 299, 1}, 1},
                                                {{9, 50, 6301, 1}, 3},
                                                {{21, 33, 6400}, 2}}) {
            const Case x = shape;  // a lambda cannot capture a structured binding in clang 14
            for (const DType out : {dtype, DType::f32}) {
                const Variant v{(transposes & 1) != 0, (transposes & 2) != 0, true, true, dtype, out};
                check_backends(fmt::format("{} x {} x {} out {}", x.m, x.n, x.k, static_cast<int>(out)), dtype,
                               [&](Setup& s) { return run(s, x, v); }, Repeat::other_threads, {&cpu()});
            }
        }
    }
}

TEST_CASE("gemm: a product that spans more than caches hold") {
    constexpr int64_t columns = 150, apart = 1 << 17;
    for (const DType dtype : kFloatTypes) {
        if (!computes(cpu(), dtype)) continue;
        for (const bool accumulate : {false, true})
            check({99, columns, 9, apart - columns}, {false, false, true, accumulate, dtype, dtype}, {&cpu()});
    }
}

}  // namespace
}  // namespace dropforge::kernels
