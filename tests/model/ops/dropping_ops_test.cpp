// The builders of token dropping and ScTD: what each op says it touches, from which the memory plan comes; which shapes
// are refused; and a small program that runs them all over planned memory.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/buffer.h"
#include "engine/executor.h"
#include "engine/ops.h"
#include "kernels/reference/loops.h"
#include "model/ops/dropping_ops.h"
#include "tests/support/count_allocations.h"
#include "tests/support/message_of.h"
#include "tests/support/touches.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

/// Tensors of a batch of 3 sequences of 8 tokens, 4 of them kept, hidden size 5, vocabulary 11.
struct Tensors {
    static constexpr int64_t B = 3, S = 8, K = 4, H = 5, V = 11, M = 6;

    Program p{"step"};
    Tensor ids = p.bound("ids", DType::i32, {B, S}), table = p.bound("table", DType::f32, {V}),
           noise = p.bound("noise", DType::i32, {4}), lengths = p.bound("lengths", DType::i32, {B}),
           x = p.bound("x", DType::f32, {B * S, H}), y = p.bound("y", DType::f32, {B * S, H}),
           scale = p.bound("scale", DType::f32, {1}), labels = p.bound("labels", DType::i32, {M}),
           weights = p.bound("weights", DType::f32, {M}), loss = p.bound("loss", DType::f32, {M}),
           sums = p.bound("sums", DType::f32, {V}), counts = p.bound("counts", DType::f32, {V}),
           norm = p.bound("norm", DType::f32, {1}), kl = p.bound("kl", DType::f32, {B});
    Tensor values = p.planned("values", DType::f32, {B, S}), kept = p.planned("kept", DType::i32, {B, K}),
           kept_lengths = p.planned("kept_lengths", DType::i32, {B}), rows = p.planned("rows", DType::f32, {B * K, H}),
           all = p.planned("all", DType::f32, {B * S, H}), rest = p.planned("rest", DType::f32, {B * S, H}),
           target = p.planned("target", DType::f32, {B, H}), input = p.planned("input", DType::f32, {B, H}),
           dtarget = p.planned("dtarget", DType::f32, {B, H}), dinput = p.planned("dinput", DType::f32, {B, H});
};

}  // namespace

TEST_CASE("choosing rows: reads and writes") {
    Tensors t;
    ops::token_values(t.p, "values", t.ids, t.table, t.noise, 1, t.values);
    CHECK(Touches(t.p).reads == Names{"ids", "table", "noise"});
    CHECK(Touches(t.p).writes == Names{"values"});
    ops::top_k(t.p, "top_k", t.values, t.lengths, t.kept, t.kept_lengths);
    CHECK(Touches(t.p).reads == Names{"values", "lengths"});
    CHECK(Touches(t.p).writes == Names{"kept", "kept_lengths"});
    ops::top_k(t.p, "top_k", t.values, {}, t.kept, {});
    CHECK(Touches(t.p).reads == Names{"values"});
    CHECK(Touches(t.p).writes == Names{"kept"});
    CHECK(Touches(t.p).inplace.empty());
}

TEST_CASE("importance: what is accumulated or moved is read and written") {
    Tensors t;
    ops::importance_sums(t.p, "sums", t.labels, t.weights, t.loss, t.sums, t.counts, false);
    CHECK(Touches(t.p).reads == Names{"labels", "weights", "loss"});
    CHECK(Touches(t.p).writes == Names{"sums", "counts"});
    ops::importance_sums(t.p, "sums", t.labels, t.weights, t.loss, t.sums, t.counts, true);
    CHECK(Touches(t.p).reads == Names{"labels", "weights", "loss", "sums", "counts"});
    ops::importance_update(t.p, "update", t.sums, t.counts, t.table, t.norm, {}, 0.5);
    CHECK(Touches(t.p).reads == Names{"sums", "counts", "table", "norm"});
    CHECK(Touches(t.p).writes == Names{"table"});
}

TEST_CASE("semantic consistency: reads and writes, gradients in place") {
    Tensors t;
    ops::pool_forward(t.p, "pool", {t.x, t.lengths, 0}, t.target);
    CHECK(Touches(t.p).reads == Names{"x", "lengths"});
    CHECK(Touches(t.p).writes == Names{"target"});
    ops::pool_forward(t.p, "pool", {t.y, {}, 1}, t.input);
    CHECK(Touches(t.p).reads == Names{"y"});
    ops::kl_divergence(t.p, "kl", t.target, t.input, {}, {}, t.kl, {}, {});
    CHECK(Touches(t.p).writes == Names{"kl"});
    CHECK(Touches(t.p).inplace.empty());
    ops::kl_divergence(t.p, "kl", t.target, t.input, t.scale, {}, t.kl, t.dtarget, t.dinput);
    CHECK(Touches(t.p).reads == Names{"target", "input", "scale"});
    CHECK(Touches(t.p).writes == Names{"kl", "dtarget", "dinput"});
    CHECK(Touches(t.p).inplace == Names{"dtarget < target", "dinput < input"});
    ops::pool_backward(t.p, "pool", {t.x, t.lengths, 0}, t.dtarget, t.all, false);
    CHECK(Touches(t.p).reads == Names{"dtarget", "lengths"});  // x's shape, not its content
    CHECK(Touches(t.p).writes == Names{"all"});
    ops::pool_backward(t.p, "pool", {t.x, {}, 1}, t.dtarget, t.all, true);
    CHECK(Touches(t.p).reads == Names{"dtarget", "all"});
}

TEST_CASE("tensors that do not fit are refused, with what was expected and what came") {
    Tensors t;
    Program& p = t.p;
    const Tensor nine = p.bound("nine", DType::i32, {3, 9}), five = p.bound("five", DType::f32, {5, t.H}),
                 scores = p.bound("scores", DType::f32, {t.B, t.S}), pooled = p.bound("pooled", DType::f32, {t.B, t.H}),
                 narrow = p.bound("narrow", DType::bf16, {t.B, t.H});
    const auto refused = [](const std::string& message, const auto& build) {
        CHECK(message_of(build) == "op: " + message);
    };
    refused("values must be f32 [3, 9], not f32 [3, 8]",
            [&] { ops::token_values(p, "op", nine, t.table, {}, 1, t.values); });
    refused("ids must be i32 [3, 8], not f32 [3, 8]",
            [&] { ops::token_values(p, "op", scores, t.table, {}, 1, t.values); });
    refused("no table was given", [&] { ops::token_values(p, "op", t.ids, {}, {}, 1, t.values); });
    refused("noise must be i32 [4], not i32 [3]",
            [&] { ops::token_values(p, "op", t.ids, t.table, t.lengths, 1, t.values); });
    refused("cannot keep [3, 9] of [3, 8]", [&] { ops::top_k(p, "op", scores, {}, nine, {}); });
    refused("kept must be i32 [3, 8], not f32 [3, 8]", [&] { ops::top_k(p, "op", scores, {}, t.values, {}); });
    refused("lengths must be i32 [3], not i32 [6]", [&] { ops::top_k(p, "op", scores, t.labels, t.kept, {}); });
    refused("kept lengths must be i32 [3], not f32 [3]", [&] { ops::top_k(p, "op", scores, {}, t.kept, t.kl); });
    refused("labels must be i32 [6], not f32 [6]",
            [&] { ops::importance_sums(p, "op", t.weights, t.weights, t.loss, t.sums, t.counts, false); });
    refused("loss must be f32 [6], not f32 [11]",
            [&] { ops::importance_sums(p, "op", t.labels, t.weights, t.sums, t.sums, t.counts, false); });
    refused("counts must be f32 [11], not f32 [3]",
            [&] { ops::importance_sums(p, "op", t.labels, t.weights, t.loss, t.sums, t.kl, false); });
    const kernels::FixedValue fixed[] = {{10, 1}, {11, 1}};
    refused("a fixed value for id 11 of 11",
            [&] { ops::importance_update(p, "op", t.sums, t.counts, t.table, t.norm, fixed, 0.5); });
    refused("norm must be f32 [1], not f32 [3]",
            [&] { ops::importance_update(p, "op", t.sums, t.counts, t.table, t.kl, {}, 0.5); });
    refused("cannot pool 9 rows of 8", [&] { ops::pool_forward(p, "op", {t.x, {}, 9}, t.target); });
    refused("[5, 5] does not pool to [3, 5]", [&] { ops::pool_forward(p, "op", {five, {}, 1}, t.target); });
    refused("pooled must be f32 [3, 5], not bf16 [3, 5]", [&] { ops::pool_forward(p, "op", {t.x, {}, 1}, narrow); });
    refused("[24, 5] does not pool to [5, 5]", [&] { ops::pool_backward(p, "op", {t.x, {}, 1}, five, t.all, false); });
    refused("dx must be f32 [24, 5], not f32 [12, 5]", [&] {
        ops::pool_backward(p, "op", {t.x, {}, 1}, pooled, t.rows, false);
    });
    refused("input must be f32 [5, 5], not f32 [24, 5]",
            [&] { ops::kl_divergence(p, "op", five, t.x, {}, {}, t.kl, {}, {}); });
    refused("kl must be f32 [24], not f32 [3]", [&] { ops::kl_divergence(p, "op", t.x, t.x, {}, {}, t.kl, {}, {}); });
    refused("no dtarget was given",
            [&] { ops::kl_divergence(p, "op", pooled, pooled, t.scale, {}, t.kl, {}, t.dinput); });
    CHECK(p.ops().empty());
}

TEST_CASE("a program of all of them runs over planned memory on each backend alike; the CPU's allocates nothing") {
    using T = Tensors;
    const kernels::FixedValue fixed[] = {{0, 100}};
    std::vector<std::vector<float>> results;
    for (const kernels::KernelTable* table : {&kernels::reference(), &kernels::straightforward(), &kernels::cpu()}) {
        T t;
        Program& p = t.p;
        const Tensor picked = p.planned("picked", DType::f32, {T::B * T::K, T::H}),
                     back = p.planned("back", DType::f32, {T::B * T::S, T::H});
        ops::token_values(p, "values", t.ids, t.table, t.noise, 1, t.values);
        ops::top_k(p, "top_k", t.values, t.lengths, t.kept, t.kept_lengths);
        ops::gather_rows(p, "gather", t.x, t.kept, t.rows);
        ops::merge_rows(p, "merge", t.rows, t.kept, t.y, t.all);
        ops::pool_forward(p, "pool target", {t.y, t.lengths, 0}, t.target);
        ops::pool_forward(p, "pool input", {t.rows, t.kept_lengths, 0}, t.input);
        ops::kl_divergence(p, "kl", t.target, t.input, t.scale, {}, t.kl, t.dtarget, t.dinput);
        ops::pool_backward(p, "unpool target", {t.y, t.lengths, 0}, t.dtarget, t.all, true);
        ops::split_rows(p, "split", t.all, t.kept, picked, t.rest, false);  // takes the memory of `all`
        ops::pool_backward(p, "unpool input", {t.rows, t.kept_lengths, 0}, t.dinput, picked, true);
        ops::merge_rows(p, "merge back", picked, t.kept, t.rest, back);
        ops::add(p, "add", t.x, back);
        for (const bool accumulate : {false, true})
            ops::importance_sums(p, "sums", t.labels, t.weights, t.loss, t.sums, t.counts, accumulate);
        ops::importance_update(p, "update", t.sums, t.counts, t.table, t.norm, fixed, 0.5);

        const MemoryPlan plan = plan_memory(p);
        CHECK_NOTHROW(verify_plan(p, plan));
        CHECK(plan.slots[static_cast<size_t>(t.rest.storage)].shares == t.all.storage);
        CHECK(plan.slots[static_cast<size_t>(t.dtarget.storage)].shares == t.target.storage);
        std::vector<int32_t> ids, labels = {1, 3, 1, 0, 7, 1}, lengths = {8, 3, 5};
        for (int32_t i = 0; i < T::B * T::S; ++i) ids.push_back(i * 7 % T::V);
        uint32_t noise[] = {1, 2, 3, 4};
        std::vector<float> importance, x, y, weights = {1, 1, 1, 1, 0, 1}, loss = {4, 2, 1, 3, 9, 1};
        for (int v = 0; v < T::V; ++v) importance.push_back(static_cast<float>(v * 5 % T::V));
        for (int i = 0; i < T::B * T::S * T::H; ++i) {
            x.push_back(std::sin(static_cast<float>(i)));
            y.push_back(std::cos(static_cast<float>(3 * i)));
        }
        std::vector<float> sums(T::V), counts(T::V), kl(T::B);
        float scale = 2, norm = 1;
        Buffer arena(plan.bytes);
        const auto context = table->create_context();
        Executor executor(p, plan, arena.as(), *table, *context);
        executor.bind("ids", ids.data());
        executor.bind("table", importance.data());
        executor.bind("noise", noise);
        executor.bind("lengths", lengths.data());
        executor.bind("x", x.data());
        executor.bind("y", y.data());
        executor.bind("scale", &scale);
        executor.bind("labels", labels.data());
        executor.bind("weights", weights.data());
        executor.bind("loss", loss.data());
        executor.bind("sums", sums.data());
        executor.bind("counts", counts.data());
        executor.bind("norm", &norm);
        executor.bind("kl", kl.data());
        executor.run();
        CHECK(sums[1] == 12);
        CHECK(counts[1] == 6);
        CHECK(importance[0] == 100);
        CHECK(importance[1] == 0.5f * 5 + 0.5f * 2);
        CHECK(*std::ranges::min_element(kl) > 0);
        x.insert(x.end(), kl.begin(), kl.end());
        results.push_back(x);
        const int64_t before = allocations();
        executor.run();
        if (kCountsAllocations && table == &kernels::cpu()) CHECK(allocations() == before);
    }
    double yardstick = 0, error = 0, size = 0;  // squares; the rule of kernel_testing.h
    for (size_t i = 0; i < results[0].size(); ++i) {
        yardstick += std::pow(results[1][i] - results[0][i], 2);
        error += std::pow(results[2][i] - results[0][i], 2);
        size += std::pow(results[0][i], 2);
    }
    CHECK(std::sqrt(error) <= 2 * std::sqrt(yardstick) + 0x1p-24 * std::sqrt(size));
}
