// GELU, tanh and column sums: values, slopes, in-place forms, sizes that no vector width divides.
// label: simt-quick
// label: levels
#include "tests/support/kernel_testing.h"

namespace dropforge::kernels {
namespace {

struct Case {
    int64_t rows, columns;
    bool accumulate = false, in_place = false;
    double size = 1;  // of the inputs: large ones reach the flat ends
};

constexpr Case kCases[] = {
    {1, 1},
    {1, 7},
    {2, 31, true},
    {31, 33, false, true, 3},
    {63, 65, true, true, 10},
    {1025, 24, true},
    {17, 1003, false, false, 100},
};

std::string label(const Case& k) {
    return fmt::format("[{},{}] accumulate {} in place {} size {}", k.rows, k.columns, k.accumulate, k.in_place,
                       k.size);
}

Array gelu(Setup& s, Array& x, Gelu form) {
    Array y = s.output(x.rows(), x.columns());
    s.call(s.kernels.gelu_forward,
           GeluForward{.x = x.data(), .y = y.data(), .n = x.rows() * x.columns(), .form = form, .dtype = s.storage});
    return y;
}

Array tanh(Setup& s, Array& x) {
    Array y = s.output(x.rows(), x.columns());
    s.call(s.kernels.tanh_forward,
           TanhForward{.x = x.data(), .y = y.data(), .n = x.rows() * x.columns(), .dtype = s.storage});
    return y;
}

struct Gradients {
    Array dx, sum;
    Array y = Array(DType::f32, 0, 0);  // GELU's value again
};

/// With dy and the saved tensor: x of GELU, y of tanh.
Gradients gelu_backward(Setup& s, Array dy, Array& x, Gelu form, const Case& k) {
    Gradients g{s.output(k.rows, k.columns), s.float_output(1, k.columns, k.accumulate),
                k.in_place ? x : s.output(k.rows, k.columns)};
    Array scratch = Setup::scratch(column_sum_scratch_bytes(k.rows, k.columns));
    if (k.in_place) std::swap(g.dx, dy);
    s.call(s.kernels.gelu_backward, GeluBackward{.dy = k.in_place ? g.dx.data() : dy.data(),
                                                 .x = k.in_place ? g.y.data() : x.data(),
                                                 .dx = g.dx.data(),
                                                 .y = g.y.data(),
                                                 .dx_sum = g.sum.data<float>(),
                                                 .scratch = scratch.data(),
                                                 .rows = k.rows,
                                                 .columns = k.columns,
                                                 .form = form,
                                                 .dtype = s.storage,
                                                 .accumulate = k.accumulate});
    return g;
}
Gradients tanh_backward(Setup& s, Array dy, Array& y, const Case& k) {
    Gradients g{s.output(k.rows, k.columns), s.float_output(1, k.columns, k.accumulate)};
    Array scratch = Setup::scratch(column_sum_scratch_bytes(k.rows, k.columns));
    if (k.in_place) std::swap(g.dx, dy);
    s.call(s.kernels.tanh_backward, TanhBackward{.dy = k.in_place ? g.dx.data() : dy.data(),
                                                 .y = y.data(),
                                                 .dx = g.dx.data(),
                                                 .dx_sum = g.sum.data<float>(),
                                                 .scratch = scratch.data(),
                                                 .rows = k.rows,
                                                 .columns = k.columns,
                                                 .dtype = s.storage,
                                                 .accumulate = k.accumulate});
    return g;
}

TEST_CASE("gelu: known values") {
    for (const KernelTable* backend : backends()) {
        Setup s(*backend, DType::f32, DType::f32, 0);
        Array x = array(DType::f32, {0, 1, -1, 3, 40, -40, 1e4, -1e4});
        // x·Φ(x) to ten digits, and the tanh form
        const double erf_form[] = {0, 0.8413447461, -0.1586552539, 2.9959503059, 40, 0, 1e4, 0};
        const double tanh_form[] = {0, 0.8411919906, -0.1588080094, 2.9963627009, 40, 0, 1e4, 0};
        const Array erf = gelu(s, x, Gelu::erf), tanh = gelu(s, x, Gelu::tanh);
        for (int i = 0; i < 8; ++i) {
            INFO(text(*backend), " x = ", x.at(0, i));
            CHECK(std::abs(erf.at(0, i) - erf_form[i]) <= 4 * 0x1p-24 * std::abs(x.at(0, i)));
            CHECK(std::abs(tanh.at(0, i) - tanh_form[i]) <= 4 * 0x1p-24 * std::abs(x.at(0, i)));
        }
    }
}

TEST_CASE("gelu, tanh: gradients against finite differences") {
    const Case k{5, 9};
    Setup s = gradient_setup();
    Array x = s.normal(k.rows, k.columns, 0, 2), dy = s.normal(k.rows, k.columns);
    const auto loss_of = [&](const Array& y) {
        Loss sum;
        sum.add(y, dy);
        return sum;
    };
    for (const Gelu form : {Gelu::erf, Gelu::tanh})
        check_gradient("gelu", x, gelu_backward(s, dy, x, form, k).dx, [&] { return loss_of(gelu(s, x, form)); });
    Array y = tanh(s, x);
    check_gradient("tanh", x, tanh_backward(s, dy, y, k).dx, [&] { return loss_of(tanh(s, x)); });
}

TEST_CASE("gelu: forward and backward") {
    for (const DType dtype : kFloatTypes) {
        for (const Case& k : kCases) {
            for (const Gelu form : {Gelu::erf, Gelu::tanh}) {
                check_backends(fmt::format("form {} {}", static_cast<int>(form), label(k)), dtype, [&](Setup& s) {
                    Array x = s.normal(k.rows, k.columns, 0, k.size);
                    Gradients g = gelu_backward(s, s.normal(k.rows, k.columns), x, form, k);
                    return outputs("y", gelu(s, x, form), "dx", std::move(g.dx), "dx_sum", std::move(g.sum), "y again",
                                   std::move(g.y));
                });
            }
        }
    }
}

TEST_CASE(
    "gelu: the value that backward makes again has the bits of the forward's; it and the sums are left out where not "
    "asked for") {
    for (const KernelTable* backend : backends()) {
        for (const DType dtype : kFloatTypes) {
            if (!computes(*backend, dtype)) continue;
            for (const Gelu form : {Gelu::erf, Gelu::tanh}) {
                Setup s(*backend, dtype, dtype, 0);
                const Case k{31, 33};
                Array x = s.normal(k.rows, k.columns, 0, 3), dy = s.normal(k.rows, k.columns);
                const Array y = gelu(s, x, form);
                const Gradients with = gelu_backward(s, dy, x, form, k);
                Array dx = s.output(k.rows, k.columns);
                s.call(s.kernels.gelu_backward, GeluBackward{.dy = dy.data(),
                                                             .x = x.data(),
                                                             .dx = dx.data(),
                                                             .y = nullptr,
                                                             .dx_sum = nullptr,
                                                             .scratch = nullptr,
                                                             .rows = k.rows,
                                                             .columns = k.columns,
                                                             .form = form,
                                                             .dtype = s.storage,
                                                             .accumulate = false});
                for (int64_t r = 0; r < k.rows; ++r)
                    for (int64_t c = 0; c < k.columns; ++c) {
                        CHECK(with.y.at(r, c) == y.at(r, c));
                        CHECK(with.dx.at(r, c) == dx.at(r, c));
                    }
            }
        }
    }
}

TEST_CASE("tanh: forward and backward") {
    for (const DType dtype : kFloatTypes) {
        for (const Case& k : kCases) {
            check_backends(label(k), dtype, [&](Setup& s) {
                Array x = s.normal(k.rows, k.columns, 0, k.size), saved = x;
                saved.fill([&](int64_t r, int64_t c) { return s.rounded(std::tanh(x.at(r, c))); });
                Gradients g = tanh_backward(s, s.normal(k.rows, k.columns), saved, k);
                return outputs("y", tanh(s, x), "dx", std::move(g.dx), "dx_sum", std::move(g.sum));
            });
        }
    }
}

TEST_CASE("gelu, tanh: from the second element on, on no 16-byte border") {
    for (const DType dtype : kFloatTypes) {
        for (const int64_t n : {1, 7, 1003}) {
            check_backends(fmt::format("{} elements", n), dtype, [&](Setup& s) {
                Array x = s.normal(1, n + 1);
                const auto second = [&](Array& a) { return static_cast<std::byte*>(a.data()) + size_of(s.storage); };
                const auto output = [&] {
                    Array y = s.output(1, n + 1);
                    y.set(0, 0, 0.75);  // stays
                    return y;
                };
                Array erf = output(), tanh_form = output(), tanh = output();
                s.call(s.kernels.gelu_forward,
                       GeluForward{.x = second(x), .y = second(erf), .n = n, .form = Gelu::erf, .dtype = s.storage});
                s.call(s.kernels.gelu_forward,
                       GeluForward{
                           .x = second(x), .y = second(tanh_form), .n = n, .form = Gelu::tanh, .dtype = s.storage});
                s.call(s.kernels.tanh_forward,
                       TanhForward{.x = second(x), .y = second(tanh), .n = n, .dtype = s.storage});
                return outputs("erf", std::move(erf), "tanh form", std::move(tanh_form), "tanh", std::move(tanh));
            });
        }
    }
}

TEST_CASE("column_sum: rows apart, many rows, cancelling terms") {
    for (const DType dtype : kFloatTypes) {
        for (const Case& k : kCases) {
            for (const int64_t padding : {5, 8}) {
                check_backends(fmt::format("{} padding {}", label(k), padding), dtype, [&](Setup& s) {
                    Array x = s.normal(k.rows, k.columns, k.columns + padding),
                          sum = s.float_output(1, k.columns, k.accumulate);
                    x.fill([&](int64_t r, int64_t c) { return s.rounded(x.at(r, c) + (r % 2 ? -k.size : k.size)); });
                    Array scratch = Setup::scratch(column_sum_scratch_bytes(k.rows, k.columns));
                    s.call(s.kernels.column_sum, ColumnSum{.x = x.data(),
                                                           .sum = sum.data<float>(),
                                                           .scratch = scratch.data(),
                                                           .rows = k.rows,
                                                           .columns = k.columns,
                                                           .stride = x.stride(),
                                                           .dtype = s.storage,
                                                           .accumulate = k.accumulate});
                    return outputs("sum", std::move(sum));
                });
            }
        }
    }
}

}  // namespace
}  // namespace dropforge::kernels
