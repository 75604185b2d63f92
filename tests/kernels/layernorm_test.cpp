// Dropout + residual + LayerNorm: values, gradients, in-place forms, odd widths.
// label: simt-quick
// label: levels
#include "tests/support/kernel_testing.h"

namespace dropforge::kernels {
namespace {

enum class Saved : uint8_t { separate, in_place, none };  // where z goes

struct Case {
    int64_t rows, columns;
    bool residual = true;
    Saved saved = Saved::separate;
    float dropout = 0;
    double offset = 0;  // added to x: a variance from E[z²] − E[z]² would be lost
    bool accumulate = false, sum = true, in_place = false;  // backward
};

const DropoutSource source;

std::string label(const Case& k) {
    return fmt::format("[{},{}] residual {} saved {} dropout {} offset {} accumulate {} sum {} in place {}", k.rows,
                       k.columns, k.residual, static_cast<int>(k.saved), k.dropout, k.offset, k.accumulate, k.sum,
                       k.in_place);
}

struct Forward {
    Array x, residual, gain, bias, z, y, mean, rstd;

    Forward(Setup& s, const Case& k)
        : x(s.normal(k.rows, k.columns)),
          residual(s.normal(k.rows, k.columns)),
          gain(s.floats(1, k.columns, 1, 0.3)),
          bias(s.floats(1, k.columns)),
          z(s.output(k.rows, k.columns)),
          y(s.output(k.rows, k.columns)),
          mean(s.float_output(1, k.rows)),
          rstd(s.float_output(1, k.rows)) {
        if (k.offset != 0) x.fill([&](int64_t r, int64_t c) { return s.rounded(x.at(r, c) + k.offset); });
    }
    void run(Setup& s, const Case& k, float epsilon = 1e-12f) {
        void* saved = k.saved == Saved::separate ? z.data() : k.saved == Saved::in_place ? x.data() : nullptr;
        s.call(s.kernels.layernorm_forward, LayerNormForward{.x = x.data(),
                                                             .residual = k.residual ? residual.data() : nullptr,
                                                             .gain = gain.data<float>(),
                                                             .bias = bias.data<float>(),
                                                             .z = saved,
                                                             .y = y.data(),
                                                             .mean = mean.data<float>(),
                                                             .rstd = rstd.data<float>(),
                                                             .rows = k.rows,
                                                             .columns = k.columns,
                                                             .rows_per_sequence = 4,
                                                             .epsilon = epsilon,
                                                             .dropout = source.with(k.dropout),
                                                             .dtype = s.storage});
    }
};

struct Backward {
    Array dy, dz, dx, dgain, dbias, dx_sum;

    Backward(Setup& s, const Case& k)
        : dy(s.normal(k.rows, k.columns)),
          dz(s.output(k.rows, k.columns)),
          dx(s.output(k.rows, k.columns)),
          dgain(s.float_output(1, k.columns, k.accumulate)),
          dbias(s.float_output(1, k.columns, k.accumulate)),
          dx_sum(s.float_output(1, k.columns, k.accumulate)) {}
    void run(Setup& s, const Case& k, Forward& f) {
        Array scratch = Setup::scratch(layernorm_backward_scratch_bytes(k.rows, k.columns));
        s.call(s.kernels.layernorm_backward, LayerNormBackward{.dy = dy.data(),
                                                               .z = f.z.data(),
                                                               .gain = f.gain.data<float>(),
                                                               .mean = f.mean.data<float>(),
                                                               .rstd = f.rstd.data<float>(),
                                                               .dz = k.in_place ? dy.data() : dz.data(),
                                                               .dx = k.dropout > 0 ? dx.data() : nullptr,
                                                               .dgain = dgain.data<float>(),
                                                               .dbias = dbias.data<float>(),
                                                               .dx_sum = k.sum ? dx_sum.data<float>() : nullptr,
                                                               .scratch = scratch.data(),
                                                               .rows = k.rows,
                                                               .columns = k.columns,
                                                               .rows_per_sequence = 4,
                                                               .dropout = source.with(k.dropout),
                                                               .dtype = s.storage,
                                                               .accumulate = k.accumulate});
    }
};

TEST_CASE("layernorm: a row by hand") {
    Setup s(reference(), DType::f32, DType::f32, 0);
    const Case k{.rows = 1, .columns = 4};
    Forward f(s, k);
    f.x = array(DType::f32, {1, 2, 3, 6});
    f.residual = array(DType::f32, {0, 3, 0, 1});  // z = 1 5 3 7: mean 4, variance 5
    f.gain = array(DType::f32, {1, 2, 1, 2});
    f.bias = array(DType::f32, {0, 0, 10, 10});
    f.run(s, k, 0);
    CHECK(f.mean.at(0, 0) == 4);
    CHECK(f.rstd.at(0, 0) == static_cast<double>(static_cast<float>(1 / std::sqrt(5.0))));
    const double expected[] = {-3 / std::sqrt(5.0), 2 / std::sqrt(5.0), 10 - 1 / std::sqrt(5.0),
                               10 + 6 / std::sqrt(5.0)};
    for (int c = 0; c < 4; ++c) CHECK(f.y.at(0, c) == static_cast<double>(static_cast<float>(expected[c])));
}

TEST_CASE("layernorm: gradients against finite differences") {
    for (const float dropout : {0.0f, 0.3f}) {
        const Case k{.rows = 5, .columns = 9, .dropout = dropout};
        Setup s = gradient_setup();
        Forward f(s, k);
        for (Array* a : {&f.gain, &f.bias}) a->fill([&](int64_t r, int64_t c) { return s.rounded(a->at(r, c)); });
        Backward b(s, k);
        f.run(s, k, 0.1f);
        b.run(s, k, f);
        const auto loss = [&] {
            Forward again = f;
            again.run(s, k, 0.1f);
            Loss sum;
            sum.add(again.y, b.dy);
            return sum;
        };
        check_gradient("residual", f.residual, b.dz, loss);
        check_gradient("x", f.x, dropout > 0 ? b.dx : b.dz, loss);
        check_gradient("gain", f.gain, b.dgain, loss);
        check_gradient("bias", f.bias, b.dbias, loss);
    }
}

constexpr Case kCases[] = {
    {.rows = 1, .columns = 1},
    {.rows = 1, .columns = 2, .residual = false, .saved = Saved::none},
    {.rows = 2, .columns = 31, .dropout = 0.1f},
    {.rows = 31, .columns = 33, .residual = false, .saved = Saved::none, .in_place = true},
    {.rows = 33, .columns = 63, .saved = Saved::in_place, .dropout = 0.1f, .accumulate = true},
    {.rows = 63, .columns = 65, .residual = false, .saved = Saved::in_place, .dropout = 0.5f, .in_place = true},
    {.rows = 65, .columns = 64, .offset = 100, .accumulate = true, .sum = false, .in_place = true},
    {.rows = 17, .columns = 768, .dropout = 0.1f, .in_place = true},
    {.rows = 3, .columns = 1003, .offset = -1000, .sum = false},
    {.rows = 1025, .columns = 24, .dropout = 0.1f, .accumulate = true},
    {.rows = 7, .columns = 1024, .dropout = 0.1f},
    {.rows = 5, .columns = 1032, .dropout = 0.1f, .offset = 10},
};

TEST_CASE("layernorm: forward") {
    for (const DType dtype : kFloatTypes) {
        for (const Case& k : kCases) {
            check_backends(backends(&KernelTable::layernorm_forward, &KernelTable::layernorm_backward), label(k), dtype,
                           [&](Setup& s) {
                               Forward f(s, k);
                               f.run(s, k);
                               Outputs all =
                                   outputs("y", std::move(f.y), "mean", std::move(f.mean), "rstd", std::move(f.rstd));
                               if (k.saved != Saved::none)
                                   add_outputs(all, "z", k.saved == Saved::separate ? std::move(f.z) : std::move(f.x));
                               return all;
                           });
        }
    }
}

TEST_CASE("layernorm: backward") {
    for (const DType dtype : kFloatTypes) {
        for (const Case& k : kCases) {
            if (dtype == DType::fp16 && k.columns == 1) continue;  // no variance: gradients beyond fp16
            check_backends(backends(&KernelTable::layernorm_forward, &KernelTable::layernorm_backward), label(k), dtype,
                           [&](Setup& s) {
                               Setup exact(reference(), dtype, s.storage, 0);  // the saved tensors: the same for all
                               Case plain = k;
                               plain.saved = Saved::separate;
                               Forward f(s, plain);
                               f.run(exact, plain);
                               f.z.fill([&](int64_t r, int64_t c) { return s.rounded(f.z.at(r, c)); });
                               Backward b(s, k);
                               b.run(s, k, f);
                               Outputs all = outputs("dz", k.in_place ? std::move(b.dy) : std::move(b.dz), "dgain",
                                                     std::move(b.dgain), "dbias", std::move(b.dbias));
                               if (k.dropout > 0) add_outputs(all, "dx", std::move(b.dx));
                               if (k.sum) add_outputs(all, "dx_sum", std::move(b.dx_sum));
                               return all;
                           });
        }
    }
}

}  // namespace
}  // namespace dropforge::kernels
