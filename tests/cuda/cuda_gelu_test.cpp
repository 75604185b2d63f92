// The choice of a GELU epilogue's kernel: our own after the GEMM, cuBLASLt's (the mock of kernels/cuda/emulator), or
// another library's, whose results are right or wrong in plausible ways. gemm_test.cpp checks our own results.
// label: simt-quick
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <functional>
#include <numbers>
#include <vector>

#include "engine/buffer.h"
#include "kernels/cuda/emulator/mock_runtime.h"
#include "kernels/cuda/emulator/mock_streams.h"
#include "kernels/cuda/gemm/functions.h"
#include "kernels/cuda/gemm/gemm_plans.h"
#include "kernels/cuda/rowwise/functions.h"
#include "tests/support/message_of.h"
#include "tests/support/temporary_folder.h"

namespace dropforge::kernels::on_cuda {
namespace {

using simt::machine;
using simt::ScopedMachine;
using test::message_of;

constexpr int64_t kRows = 24, kColumns = 40, kDepth = 16;

/// The behaviour of the library in which it differs from our own kernels.
struct Faults {
    int64_t version = 91900, proposals = 2;
    double milliseconds[2] = {0.75, 0.5};              // of each proposal
    std::function<void(Gemm&)> before = [](Gemm&) {};  // changes what its kernels compute
    std::function<void(const Gemm&, CudaContext&)> after = [](const Gemm&, CudaContext&) {};
};

/// Our own kernels as a library's.
class Kernel final : public GeluKernel {
  public:
    Kernel(CudaContext& context, const Faults& faults, int64_t n) : context_(context), faults_(faults), n_(n) {}
    std::string name() const override { return fmt::format("engine {}", n_); }
    void run(const Gemm& given) override {
        Gemm g = given, bare = given;
        faults_.before(g);
        bare.bias = g.bias;
        bare.gelu = {};
        gemm_small(bare, context_);
        if (g.gelu.output)
            gelu_forward(gelu_after(g), context_);
        else
            gelu_backward(gelu_slope_after(g), context_);
        faults_.after(given, context_);
        simt::enqueue(context_.stream(), [cost = faults_.milliseconds[n_]] { machine().clock += cost; });
    }

  private:
    CudaContext& context_;
    const Faults& faults_;
    int64_t n_;
};

class Library final : public GeluLibrary {
  public:
    Library(CudaContext& context, const Faults& faults) : context_(context), faults_(faults) {}
    std::string name() const override { return "cuXYZ 1.2"; }
    int64_t version() const override { return faults_.version; }
    std::unique_ptr<GeluKernel> kernel(const GemmKey&, int64_t n, std::string& why_not) override {
        if (n < faults_.proposals) return std::make_unique<Kernel>(context_, faults_, n);
        why_not = "cuXYZ has no other";
        return nullptr;
    }

  private:
    CudaContext& context_;
    const Faults& faults_;
};

/// Of GELU.
double slope_at_one(Gelu form) {
    constexpr double pi = std::numbers::pi;
    if (form == Gelu::erf) return 0.5 * (1 + std::erf(std::sqrt(0.5))) + std::exp(-0.5) / std::sqrt(2 * pi);
    const double t = std::tanh(std::sqrt(2 / pi) * 1.044715);
    return 0.5 * (1 + t) + 0.5 * (1 - t * t) * std::sqrt(2 / pi) * (1 + 3 * 0.044715);
}

/// A GEMM of ones with GELU or its slope: c is 16 (+ 1 for the bias).
struct GemmCase {
    explicit GemmCase(const Faults* faults, DType dtype = DType::bf16, Gelu form = Gelu::erf, bool slope = false)
        : plans(context,
                [faults](CudaContext& c, std::string& why_not) -> std::unique_ptr<GeluLibrary> {
                    if (faults) return std::make_unique<Library>(c, *faults);
                    return open_gelu_library(c, why_not);
                }),
          gemm{.a = ones(kRows * kDepth, dtype),
               .b = ones(kColumns * kDepth, dtype),
               .c = ones(kRows * kColumns, dtype),
               .bias = slope ? nullptr : static_cast<float*>(ones(kColumns, DType::f32)),
               .m = kRows,
               .n = kColumns,
               .k = kDepth,
               .lda = kDepth,
               .ldb = slope ? kColumns : kDepth,
               .ldc = kColumns,
               .transpose_a = false,
               .transpose_b = !slope,
               .accumulate = false,
               .dtype = dtype,
               .out = dtype,
               .gelu = {.form = form}} {
        void* matrix = ones(kRows * kColumns, dtype);
        gemm.gelu.output = slope ? nullptr : matrix;
        gemm.gelu.input = slope ? matrix : nullptr;
    }
    void* ones(int64_t n, DType dtype) {
        buffers.push_back(std::make_unique<Buffer>(n * size_of(dtype), context));
        with_float_type(dtype, [&](auto type) {
            const std::vector<decltype(type)> values(static_cast<size_t>(n), static_cast<decltype(type)>(1.0f));
            context.upload(buffers.back()->as<>(), values.data(), buffers.back()->bytes());
            context.synchronize();
        });
        return buffers.back()->as<>();
    }
    float last(const void* x, DType dtype) {
        float value = 0;
        with_float_type(dtype, [&](auto type) {
            context.download(&type, static_cast<const decltype(type)*>(x) + kRows * kColumns - 1, sizeof type);
            context.synchronize();
            value = static_cast<float>(type);
        });
        return value;
    }
    /// Runs the GEMM, checks the result, and returns the choice for it.
    KernelChoice run() {
        plans.run(gemm);
        if (gemm.gelu.output) {
            CHECK(last(gemm.c, gemm.out) == 17);
            CHECK(last(gemm.gelu.output, gemm.out) == 17);
        } else {  // c before the slope, 16, is exact; the result is rounded once, by half a unit
            const double unit = gemm.out == DType::bf16 ? 0x1p-8 : gemm.out == DType::fp16 ? 0x1p-11 : 0x1p-22;
            const double c = kDepth * slope_at_one(gemm.gelu.form);
            CHECK(std::abs(last(gemm.c, gemm.out) - c) <= unit * c);
        }
        for (const KernelChoice& choice : plans.choices())
            if (choice.operation.find("gelu") != std::string::npos) return choice;
        return {};
    }

    CudaContext context;
    std::vector<std::unique_ptr<Buffer>> buffers;
    GemmPlans plans;
    Gemm gemm;
};

TEST_CASE("GELU is a kernel after the GEMM where no library has it fused") {
    const KernelChoice erf = GemmCase(nullptr).run();
    CHECK(erf.operation == "gelu of gemm bf16 24x40x16 NT +bias +gelu ld 16 16 40 align 16 16 16");
    CHECK(erf.library == "own kernel");
    CHECK(erf.kernel == "GELU kernel after the GEMM");
    CHECK(erf.reason == "cuBLASLt has GELU with tanh only; this program was built without cudnn-frontend");
    const Faults library;
    CHECK(GemmCase(&library, DType::f32).run().reason == "libraries' GELU is for 16-bit storage");
    CHECK(GemmCase(&library, DType::f32, Gelu::tanh, true).run().library == "own kernel");
}

TEST_CASE("cuBLASLt's GELU with tanh serves where it is not slower") {
    const ScopedMachine scope;
    for (const DType dtype : {DType::bf16, DType::fp16}) {
        for (const bool slope : {false, true}) {
            machine().epilogue_milliseconds = 0;
            const KernelChoice one = GemmCase(nullptr, dtype, Gelu::tanh, slope).run();
            CHECK(one.library.starts_with("cuBLASLt 1"));
            CHECK(one.kernel == "algorithm 1, tile 0, stages 0, split-K 1");
            CHECK(one.reason == "faster: 1000.0 us, unfused 1000.0");
            machine().epilogue_milliseconds = 0.25;
            const KernelChoice unfused = GemmCase(nullptr, dtype, Gelu::tanh, slope).run();
            CHECK(unfused.library == "own kernel");
            CHECK(unfused.reason.starts_with("faster: 1000.0 us, fused 1250.0 by cuBLASLt 1"));
        }
    }
}

TEST_CASE("the fastest proposal of another library serves, in a recording too, and is kept for the next run") {
    const TemporaryFolder folder;
    setenv("DROPFORGE_CACHE", folder.path().c_str(), 1);
    Faults faults;
    for (const bool slope : {false, true}) {
        GemmCase first(&faults, DType::bf16, Gelu::erf, slope);
        CHECK(message_of([&] {
                  first.context.record([&] { first.plans.run(first.gemm); });
              }).find("is recorded before") != std::string::npos);
        const KernelChoice choice = first.run();
        CHECK(choice.library == "cuXYZ 1.2");
        CHECK(choice.kernel == "engine 1");
        CHECK(choice.reason == "faster: 500.0 us, unfused 1000.0");
        const double before = machine().clock;
        first.context.record([&] { first.plans.run(first.gemm); })->run();
        first.context.synchronize();
        CHECK(machine().clock - before == 0.5);  // all times are exact
        const KernelChoice again = GemmCase(&faults, DType::bf16, Gelu::erf, slope).run();
        CHECK(again.kernel == "engine 1");
        CHECK(again.reason == "fastest in an earlier run: 500.0 us");
        // A stored choice whose library is missing, or has another version, is made again.
        const KernelChoice own = GemmCase(nullptr, DType::bf16, Gelu::erf, slope).run();
        CHECK(own.library == "own kernel");
        faults.version += 1;
        faults.milliseconds[0] = 3;
        faults.milliseconds[1] = 2;
        const KernelChoice slower = GemmCase(&faults, DType::bf16, Gelu::erf, slope).run();
        CHECK(slower.reason == "faster: 1000.0 us, fused 2000.0 by cuXYZ 1.2 engine 1");
        CHECK(GemmCase(&faults, DType::bf16, Gelu::erf, slope).run().reason == "fastest in an earlier run: 1000.0 us");
        faults = {};
    }
    setenv("DROPFORGE_CACHE", "", 1);
}

TEST_CASE("a library's kernel that is wrong does not serve, and is named") {
    const auto nan_at_the_end = [](void* c) {
        return [c](const Gemm& g, CudaContext& context) {
            const uint16_t nan = 0x7fff;
            context.upload(static_cast<uint16_t*>(c ? c : g.c) + kRows * kColumns - 1, &nan, 2);
            context.synchronize();
        };
    };
    struct Wrong {
        const char* what;
        bool slope;
        std::function<void(Gemm&)> before;
        std::function<void(const Gemm&, CudaContext&)> after;
        const char* note;
    };
    const auto nothing = [](const Gemm&, CudaContext&) {};
    const std::vector<Wrong> faults = {
        {"no bias", false, [](Gemm& g) { g.bias = nullptr; }, nothing, "c is off by "},
        {"GELU not written", false, [](Gemm& g) { g.gelu.output = g.c; }, nothing, "c is off by "},
        {"the wrong matrix", true, [](Gemm& g) { g.gelu.input = g.c; }, nothing, "c is off by "},
        {"a NaN", true, [](Gemm&) {}, nan_at_the_end(nullptr), "1 numbers of c are not finite"},
        {"an error", false, [](Gemm&) { throw Error("no code for it"); }, nothing, "no code for it"},
    };
    for (const Wrong& wrong : faults) {
        CAPTURE(wrong.what);
        const Faults library{.before = wrong.before, .after = wrong.after};
        GemmCase p(&library, DType::bf16, Gelu::erf, wrong.slope);
        const KernelChoice choice = p.run();
        CHECK(choice.library == "own kernel");
        CHECK(choice.reason == "no library's kernel gives right results");
        const std::vector<std::string> notes = p.plans.take_notes();
        REQUIRE(notes.size() == 2);
        const std::string expected =
            fmt::format("cuXYZ 1.2 engine 0 is not used for GEMM {}: {}",
                        choice.operation.substr(std::string("gelu of gemm ").size()), wrong.note);
        CHECK(notes[0].substr(0, expected.size()) == expected);
    }
}

TEST_CASE("without memory to try libraries in, GELU is a kernel of its own") {
    const ScopedMachine scope;
    const Faults faults;
    GemmCase p(&faults);
    machine().memory = machine().used + 66000;  // a place for the bias in the output's type, and not much else
    const KernelChoice choice = p.run();
    CHECK(choice.library == "own kernel");
    CHECK(choice.reason.starts_with("libraries could not be tried: "));
}

}  // namespace
}  // namespace dropforge::kernels::on_cuda
