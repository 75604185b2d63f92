// The choice of attention's kernels, with libraries whose results are right, or wrong in plausible ways.
// label: simt-quick
#include <bit>
#include <cstdlib>
#include <functional>
#include <set>

#include "kernels/cuda/attention/attention_check.h"
#include "kernels/cuda/attention/attention_choice.h"
#include "kernels/cuda/attention/attention_reference.h"
#include "kernels/cuda/attention/functions.h"
#include "kernels/cuda/cudnn/cudnn_trouble.h"
#include "kernels/dropout.h"
#include "tests/support/kernel_testing.h"
#include "tests/support/message_of.h"

namespace dropforge::kernels::on_cuda {
namespace {

using test::message_of;

/// The behaviour of the library in which it differs from our own kernels, beside its dropout's bits.
struct Faults {
    std::string why_not = {}, trouble = {};
    std::function<void(AttentionForward&)> forward = [](AttentionForward&) {};
    std::function<void(AttentionBackward&)> backward = [](AttentionBackward&) {};
    std::function<void(const AttentionForward&, CudaContext&)> after_forward = [](auto&&...) {};
    std::function<void(const AttentionBackward&, CudaContext&)> after_backward = [](auto&&...) {};
    int64_t workspace = 1000;
};

/// Our own kernels as a library's.
class Plan final : public AttentionPlan {
  public:
    Plan(CudaContext& context, const Faults& faults, int& calls) : context_(context), faults_(faults), calls_(calls) {}
    std::string name() const override { return "plan 7"; }
    int64_t workspace_bytes() const override { return faults_.workspace; }
    void forward(const AttentionForward& given, void* workspace) override {
        AttentionForward a = given;
        run(a, workspace);
        faults_.forward(a);
        attention_forward(a, context_);
        faults_.after_forward(a, context_);
    }
    void backward(const AttentionBackward& given, void* workspace) override {
        AttentionBackward a = given;
        run(a, workspace);
        faults_.backward(a);
        attention_backward(a, context_);
        faults_.after_backward(a, context_);
    }

  private:
    template <typename Attention>
    void run(Attention& a, void* workspace) {
        ++calls_;
        a.dropout.site += 1000;
        CHECK(workspace != nullptr);
    }
    CudaContext& context_;
    Faults faults_;
    int& calls_;
};

class FakeLibrary final : public AttentionLibrary {
  public:
    FakeLibrary(CudaContext& context, Faults faults, int& plans, int& calls)
        : context_(context), faults_(std::move(faults)), plans_(plans), calls_(calls) {}
    std::string name() const override { return "Fake 1.2"; }
    std::string known_trouble(const AttentionShape&) const override { return faults_.trouble; }
    std::unique_ptr<AttentionPlan> plan(const AttentionShape&, std::string& why_not) override {
        ++plans_;
        why_not = faults_.why_not;
        return why_not.empty() ? std::make_unique<Plan>(context_, faults_, calls_) : nullptr;
    }

  private:
    CudaContext& context_;
    Faults faults_;
    int &plans_, &calls_;
};

struct Sizes {
    int64_t batch = 3, heads = 2, rows_q = 20, rows_kv = 40;
    float dropout = 0;
    DType dtype = DType::bf16;
};

/// A context whose attention is by a fake library, and one attention's operands, zeros.
class Bench {
  public:
    explicit Bench(const Sizes& sizes, Faults faults = {}, AttentionUse use = AttentionUse::automatic)
        : context_(std::make_unique<CudaContext>()), sizes_(sizes) {
        auto library = std::make_unique<FakeLibrary>(*context_, std::move(faults), plans, calls);
        context_->selector<AttentionKernels>(
            [&] { return std::make_unique<AttentionKernels>(*context_, use, std::move(library), ""); });
        constexpr int64_t bytes = 1 << 20;
        for (DeviceMemory& m : memory_) {
            m = device_memory(bytes);
            const std::vector<char> zeros(static_cast<size_t>(bytes));
            context_->upload(m.get(), zeros.data(), bytes);
            context_->synchronize();
        }
    }

    CudaContext& context() { return *context_; }
    void forward() { chosen_attention_forward(forward_call(), *context_); }
    void backward() {
        const AttentionForward f = forward_call();
        AttentionBackward a{f};
        a.out = f.out;
        a.lse = f.lse;
        a.dout = at(3);
        a.dq = at(5);
        a.dk = at(6);
        a.dv = at(7);
        chosen_attention_backward(a, *context_);
    }
    KernelChoice choice() {
        forward();
        const std::vector<KernelChoice> all = context_->choices();
        REQUIRE(all.size() == 1);
        return all[0];
    }

    int plans = 0, calls = 0;
    int64_t offset = 0;  // bytes by which queries lie off

  private:
    void* at(size_t nth) const { return memory_[nth].get(); }
    AttentionForward forward_call() const {
        constexpr int64_t head_size = 32;
        const int64_t columns = sizes_.heads * head_size;
        AttentionForward a{
            {.q = static_cast<std::byte*>(at(0)) + offset,
             .k = at(1),
             .v = static_cast<std::byte*>(at(1)) + columns * static_cast<int64_t>(size_of(sizes_.dtype)),
             .lengths = nullptr,
             .scratch = at(8),
             .batch = sizes_.batch,
             .heads = sizes_.heads,
             .head_size = head_size,
             .rows_q = sizes_.rows_q,
             .rows_kv = sizes_.rows_kv,
             .stride_q = columns,
             .stride_kv = 2 * columns,
             .stride_out = columns,
             .scale = 0.18f,
             .dropout = {.state = static_cast<const uint32_t*>(at(9)), .site = 3, .probability = sizes_.dropout},
             .dtype = sizes_.dtype}};
        a.out = at(2);
        a.lse = static_cast<float*>(at(4));
        return a;
    }

    std::unique_ptr<CudaContext> context_;
    Sizes sizes_;
    std::array<DeviceMemory, 10> memory_;
};

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST_CASE("a library that is right serves a shape, with and without dropout") {
    for (const DType dtype : {DType::bf16, DType::fp16}) {
        for (const float dropout : {0.0f, 0.1f}) {
            for (const int64_t rows_q : {1, 20, 40}) {
                Bench b({.rows_q = rows_q, .dropout = dropout, .dtype = dtype});
                CAPTURE(dropout);
                CAPTURE(rows_q);
                const KernelChoice c = b.choice();
                CAPTURE(c.reason);
                CHECK(c.library == "Fake 1.2");
                CHECK(c.kernel == "plan 7");
                CHECK(contains(c.operation,
                               fmt::format("attention {} batch 3 heads 2 of 32 rows {} x 40", name_of(dtype), rows_q)));
                CHECK(contains(c.reason, "off by"));
                const int before = b.calls;
                b.forward();
                b.backward();
                CHECK(b.calls == before + 2);
                CHECK(b.plans == 1);
            }
        }
    }
}

/// Sets what the plan has written to NaN where the log-sum-exp is below -88.7, as cuDNN 9.20 to 9.26 do.
void nan_for_low_scores(const AttentionBackward& a, CudaContext& context) {
    float lse = 0;
    context.download(&lse, a.lse, sizeof lse);
    context.synchronize();
    const uint16_t nan = 0x7fc0;
    if (lse < -88.7f) context.upload(a.dq, &nan, sizeof nan);
    context.synchronize();
}

TEST_CASE("a library that is wrong is replaced, and what it did is told") {
    const auto reason = [](float dropout, const Faults& faults) {
        Bench b({.dropout = dropout}, faults);
        const KernelChoice c = b.choice();
        CHECK(c.library == "own kernel");
        const int before = b.calls;
        b.forward();
        b.backward();
        CHECK(b.calls == before);
        return c.reason;
    };
    for (const float dropout : {0.0f, 0.1f}) {
        CAPTURE(dropout);
        Faults nan;
        nan.after_backward = nan_for_low_scores;
        CHECK(reason(dropout, nan) == "Fake 1.2 plan 7 is wrong here: scores of -100, dq: 1 numbers are not finite");
        Faults scale;
        scale.forward = [](AttentionForward& a) { a.scale *= 1.1f; };
        scale.backward = [](AttentionBackward& a) { a.scale *= 1.1f; };
        CHECK(contains(reason(dropout, scale), "random operands, lse: off by"));
        Faults lengths;
        lengths.forward = [](AttentionForward& a) { a.lengths = nullptr; };
        CHECK(contains(reason(dropout, lengths), dropout > 0 ? "dropout, mask: " : "lse: off by"));
        Faults unwritten;
        unwritten.backward = [](AttentionBackward& a) { a.batch = 1; };
        CHECK(contains(reason(dropout, unwritten), "dq: 2560 numbers are not finite"));
        Faults mixed;
        mixed.backward = [](AttentionBackward& a) { std::swap(a.dk, a.dv); };
        CHECK(contains(reason(dropout, mixed), "random operands, dk: off by"));
    }
    Faults other_mask;
    other_mask.backward = [](AttentionBackward& a) { a.dropout.site += 1; };
    CHECK(contains(reason(0.1f, other_mask), "random operands, d"));
    Faults none;
    none.forward = [](AttentionForward& a) { a.dropout.probability = 0; };
    none.backward = [](AttentionBackward& a) { a.dropout.probability = 0; };
    CHECK(contains(reason(0.1f, none), "dropout, mask: "));
    Faults throws;
    throws.forward = [](AttentionForward&) { throw Error("no such kernel"); };
    CHECK(reason(0, throws) == "Fake 1.2 plan 7 could not be checked: no such kernel");
}

TEST_CASE("a library is not used for shapes that it lacks, or for which it has a known defect") {
    const auto reason = [](const Sizes& sizes, const Faults& faults, int64_t offset = 0) {
        Bench b(sizes, faults);
        b.offset = offset;
        const KernelChoice c = b.choice();
        CHECK(c.library == "own kernel");
        CHECK(b.calls == 0);
        return c.reason;
    };
    CHECK(reason({}, {.why_not = "odd heads"}) == "Fake 1.2: odd heads");
    CHECK(reason({}, {.trouble = "known to be wrong"}) == "known to be wrong");
    CHECK(reason({.dtype = DType::f32}, {}) == "libraries support 16-bit storage only");
    CHECK(reason({}, {}, 2) == "rows are not aligned to 16 bytes");
    Bench huge({}, {.workspace = int64_t{1} << 50});
    CHECK(contains(huge.choice().reason, "could not be checked: cannot get 1125899906842624 bytes"));
}

TEST_CASE("without a library our own kernels are used, and the reason is reported") {
    CudaContext context;
    context.selector<AttentionKernels>([&] {
        return std::make_unique<AttentionKernels>(context, AttentionUse::automatic, nullptr, "it is not there");
    });
    AttentionForward empty{};
    empty.dtype = DType::bf16;
    chosen_attention_forward(empty, context);
    REQUIRE(context.choices().size() == 1);
    CHECK(context.choices()[0].library == "own kernel");
    CHECK(context.choices()[0].reason == "it is not there");
}

TEST_CASE("a library can be required") {
    Bench known({}, {.trouble = "known to be wrong"}, AttentionUse::cudnn);
    CHECK(known.choice().library == "Fake 1.2");
    Bench cannot({}, {.why_not = "odd heads"}, AttentionUse::cudnn);
    CHECK(contains(message_of([&] { cannot.forward(); }), "cannot be served by cuDNN: Fake 1.2: odd heads"));
    Bench wide({.dtype = DType::f32}, {}, AttentionUse::cudnn);
    CHECK(wide.choice().library == "own kernel");
}

TEST_CASE("kernels are chosen before a recording, not in it") {
    Bench b({});
    CHECK(contains(message_of([&] { b.context().record([&] { b.forward(); }); }), "is recorded before its first run"));
    b.forward();
    const std::unique_ptr<Recording> recording = b.context().record([&] { b.forward(); });
    recording->run();
    b.context().synchronize();
}

TEST_CASE("DROPFORGE_ATTENTION overrides the options") {
    const auto use = [](const char* name) {
        setenv("DROPFORGE_ATTENTION", name, 1);
        return attention_use({.attention = AttentionUse::own});
    };
    CHECK(use("auto") == AttentionUse::automatic);
    CHECK(use("cudnn") == AttentionUse::cudnn);
    CHECK(use("own") == AttentionUse::own);
    CHECK(use("") == AttentionUse::own);
    CHECK(message_of([&] { use("fast"); }) == "DROPFORGE_ATTENTION is fast: it must be auto, cudnn or own");
    unsetenv("DROPFORGE_ATTENTION");
}

TEST_CASE("known defects of cuDNN's versions") {
    const auto trouble = [&](int64_t version, int capability, int64_t rows_q, int64_t rows_kv) {
        AttentionForward a{};
        a.dtype = DType::bf16;
        a.rows_q = rows_q;
        a.rows_kv = rows_kv;
        return !cudnn_trouble(version, capability, AttentionShape(a)).empty();
    };
    CHECK(trouble(91001, 80, 128, 128));
    CHECK(!trouble(91002, 80, 128, 128));
    for (const int64_t version : {92000, 92301, 92600}) {
        CHECK(trouble(version, 90, 64, 64));
        CHECK(trouble(version, 90, 64, 192));
        CHECK(trouble(version, 90, 1, 128));
        CHECK(!trouble(version, 90, 64, 128));
        CHECK(!trouble(version, 100, 64, 64));
    }
    CHECK(!trouble(91900, 90, 64, 64));
    CHECK(!trouble(92700, 90, 64, 64));
}

TEST_CASE("the seed of a library's dropout differs with each number of the state, and with the site") {
    CudaContext context;
    const DeviceMemory state = device_memory(16), seed = device_memory(16);
    std::set<std::pair<int64_t, int64_t>> seen;
    const auto draw = [&](std::array<uint32_t, 4> numbers, uint32_t site) {
        context.upload(state.get(), numbers.data(), sizeof numbers);
        draw_attention_seed({static_cast<const uint32_t*>(state.get()), site, 0.1f}, static_cast<int64_t*>(seed.get()),
                            context);
        std::array<int64_t, 2> drawn;
        context.download(drawn.data(), seed.get(), sizeof drawn);
        context.synchronize();
        CHECK(drawn[0] >= 0);
        CHECK(drawn[1] >= 0);
        return std::pair(drawn[0], drawn[1]);
    };
    seen.insert(draw({1, 2, 3, 4}, 5));
    CHECK(draw({1, 2, 3, 4}, 5) == *seen.begin());
    for (size_t i = 0; i < 4; ++i) {
        std::array<uint32_t, 4> numbers = {1, 2, 3, 4};
        numbers[i] += 1;
        seen.insert(draw(numbers, 5));
    }
    seen.insert(draw({1, 2, 3, 4}, 6));
    CHECK(seen.size() == 6);
}

TEST_CASE("the check's reference of one head is that of kernels/reference") {
    const DropoutSource source;
    constexpr int64_t rows_q = 7, rows_kv = 9, size = 5, keys = 6;
    Setup s(reference(), DType::f32, DType::f32, 0);
    Array q = s.normal(rows_q, size), k = s.normal(rows_kv, size), v = s.normal(rows_kv, size),
          out = s.output(rows_q, size), lse = s.float_output(1, rows_q), dout = s.normal(rows_q, size),
          dq = s.output(rows_q, size), dk = s.output(rows_kv, size), dv = s.output(rows_kv, size);
    const int32_t length = keys;
    const Dropout dropout = source.with(0.25f);
    const AttentionArguments arguments{.q = q.data(),
                                       .k = k.data(),
                                       .v = v.data(),
                                       .lengths = &length,
                                       .scratch = nullptr,
                                       .batch = 1,
                                       .heads = 1,
                                       .head_size = size,
                                       .rows_q = rows_q,
                                       .rows_kv = rows_kv,
                                       .stride_q = size,
                                       .stride_kv = size,
                                       .stride_out = size,
                                       .scale = 0.5f,
                                       .dropout = dropout,
                                       .dtype = DType::f32};
    s.call(s.kernels.attention_forward, AttentionForward{arguments, out.data(), lse.data<float>()});
    s.call(s.kernels.attention_backward,
           AttentionBackward{arguments, out.data(), dout.data(), lse.data<float>(), dq.data(), dk.data(), dv.data()});
    const auto values = [](const Array& a) {
        std::vector<double> all;
        for (int64_t r = 0; r < a.rows(); ++r)
            for (int64_t c = 0; c < a.columns(); ++c) all.push_back(a.at(r, c));
        return all;
    };
    AttentionHead h{rows_q, rows_kv, size, keys, 0.5, 0.25, values(q), values(k), values(v), values(dout), {}};
    for (int64_t r = 0; r < rows_q; ++r)
        for (int64_t c = 0; c < rows_kv; ++c)
            h.kept.push_back(dropout_factor(dropout, first_row(dropout, rows_q) + static_cast<uint64_t>(r), c) != 0);
    const AttentionHeadResult truth = attention_of_head(h);
    const auto check = [&](const Array& a, const std::vector<double>& right) {
        const std::vector<double> got = values(a);
        REQUIRE(got.size() == right.size());
        for (size_t i = 0; i < got.size(); ++i)
            CHECK(std::abs(got[i] - right[i]) <= 16 * 0x1p-24 * (1 + std::abs(right[i])));
    };
    check(out, truth.out);
    check(dq, truth.dq);
    check(dk, truth.dk);
    check(dv, truth.dv);
}

}  // namespace
}  // namespace dropforge::kernels::on_cuda
