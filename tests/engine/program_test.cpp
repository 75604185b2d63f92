#include "engine/program.h"

#include <doctest/doctest.h>

#include "base/error.h"

using namespace dropforge;

namespace {

void nothing(const Run&) {}

}  // namespace

TEST_CASE("ops are recorded in order with what they touch and cost") {
    Program p("step");
    const Tensor x = p.bound("x", DType::f32, {10}), sum = p.planned("sum", DType::bf16, {10});
    p.add("make", {{x, x}, {sum, p.scratch("work", 5)}, {}, 7}, nothing);
    p.add("add", {{x, sum, Tensor{}}, {sum, Tensor{}}, {{sum, x}}, 5}, nothing);
    REQUIRE(p.ops().size() == 2);
    CHECK(p.ops()[0].name == "make");
    CHECK(p.ops()[0].reads == std::vector<int32_t>{x.storage});  // once
    CHECK(p.ops()[0].writes == std::vector<int32_t>{sum.storage, p.find("work")});
    CHECK(p.ops()[0].bytes == 40 + 40 + 20);
    CHECK(p.ops()[1].reads == std::vector<int32_t>{x.storage, sum.storage});  // no tensor: no storage
    CHECK(p.ops()[1].writes == std::vector<int32_t>{sum.storage});
    CHECK(p.ops()[1].inplace == std::vector{std::pair{sum.storage, x.storage}});
    CHECK(p.flops() == 12);
    CHECK(p.storages()[static_cast<size_t>(p.find("work"))].bytes == 8);  // whole words
    CHECK(p.storages()[0].owner == Owner::caller);
    CHECK(p.storages()[1].owner == Owner::plan);
    CHECK_FALSE(p.scratch("none", 0));
}

TEST_CASE("a read before any write is refused, also of what the op itself writes") {
    Program p("step");
    const Tensor x = p.planned("x", DType::f32, {1});
    CHECK_THROWS_WITH_AS(p.add("use", {{x}, {}}, nothing), "step: use reads x before anything has written it", Error);
    CHECK_THROWS_AS(p.add("use", {{x}, {x}}, nothing), Error);
    CHECK(p.ops().empty());
    p.add("make", {{}, {x}}, nothing);
    CHECK_NOTHROW(p.add("use", {{x}, {x}}, nothing));
}

TEST_CASE("what a caller binds without content is to be written first too") {
    Program p("step");
    const Tensor gradient = p.bound("gradient", DType::f32, {1}, Program::Content::none);
    CHECK_THROWS_WITH_AS(p.add("add", {{gradient}, {gradient}}, nothing),
                         "step: add reads gradient before anything has written it", Error);
    p.add("assign", {{}, {gradient}}, nothing);
    CHECK_NOTHROW(p.add("add", {{gradient}, {gradient}}, nothing));
    CHECK(p.storages()[0].owner == Owner::caller);
}

TEST_CASE("names are unique and found; scopes prefix what the plan owns and the ops, not what a caller binds") {
    Program p("step");
    p.planned("x", DType::f32, {1});
    CHECK_THROWS_WITH_AS(p.planned("x", DType::f32, {1}), "step: a second tensor named x", Error);
    CHECK_THROWS_AS(p.bound("x", DType::f32, {1}), Error);
    {
        const Program::Scope layer(p, "layer0");
        const Program::Scope part(p, "ffn");
        const Tensor y = p.planned("x", DType::f32, {1});
        p.bound("gain", DType::f32, {1});
        p.add("fc1", {{}, {y}}, nothing);
    }
    p.planned("after", DType::f32, {1});
    CHECK(p.ops()[0].name == "layer0/ffn/fc1");
    CHECK(p.find("layer0/ffn/x") == 1);
    CHECK(p.find("gain") == 2);
    CHECK(p.find("after") == 3);
    CHECK(p.has("x"));
    CHECK_FALSE(p.has("layer0/x"));
    CHECK(p.storages().size() == 4);
    CHECK_THROWS_WITH_AS(p.find("y"), "step: no tensor named y", Error);
}

TEST_CASE("an op finds its tensors' first elements") {
    float memory[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    void* pointers[] = {memory};
    kernels::KernelTable table{};
    class : public kernels::Context {
    } context;
    const Run run(pointers, table, context);
    const Tensor t{0, DType::f32, 0, {8}};
    CHECK(*run.at<float>(t) == 0);
    CHECK(*run.at<float>(t.view(3, {2})) == 3);
    CHECK(run.at(Tensor{}) == nullptr);
}
