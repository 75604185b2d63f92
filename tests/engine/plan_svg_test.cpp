#include "engine/plan_svg.h"

#include <doctest/doctest.h>

#include "tests/support/synthetic_programs.h"

using namespace dropforge;

namespace {

int count(const std::string& text, const std::string& part) {
    int n = 0;
    for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size())) ++n;
    return n;
}

}  // namespace

TEST_CASE("one rectangle a placed storage, in place and size of the plan") {
    Program p("a<b");
    const Tensor x = p.planned("x", DType::f32, {250'000}), y = p.planned("layer0/\"y\"", DType::f32, {250'000});
    p.planned("unused", DType::f32, {1});
    p.add("make", {{}, {x}}, no_kernel);
    p.add("layer0/act", {{x}, {y}}, no_kernel);
    p.add("layer0/use", {{y}, {}}, no_kernel);
    p.add("end", {{y}, {}}, no_kernel);
    const MemoryPlan plan = plan_memory(p);
    const std::string svg = plan_svg(p, plan);
    CHECK(svg.starts_with("<svg "));
    CHECK(svg.ends_with("</svg>\n"));
    CHECK(count(svg, "a&lt;b: 2.000 MB planned, lower bound 2.000 MB") == 1);
    CHECK(count(svg, "<title>x\n1.000 MB at ") == 1);
    CHECK(count(svg, "layer0/&quot;y&quot;\n1.000 MB at ") == 1);
    CHECK(count(svg, "layer0/act … end</title>") == 1);
    CHECK(count(svg, "unused") == 0);
    CHECK(count(svg, "<rect ") == 1 + 2);                          // the background
    CHECK(count(svg, "width=\"600.00\" height=\"299.94\"") == 1);  // x: 2 of 4 ops, 1 of 2.000384 MB
    CHECK(count(svg, "width=\"900.00\" height=\"299.94\"") == 1);
    CHECK(count(svg, ">layer0</text>") == 1);
}

TEST_CASE("storages of a layer share a colour that its neighbour does not have") {
    const Program p = synthetic_training({3, 256, 64, 2, 64, 1000});
    const std::string svg = plan_svg(p, plan_memory(p));
    const auto colour = [&](const std::string& name) {
        const size_t title = svg.find("<title>" + name + "\n"), fill = svg.rfind("fill=\"", title);
        REQUIRE(title != svg.npos);
        return svg.substr(fill, svg.find('"', fill + 6) - fill);
    };
    CHECK(colour("layer0/qkv") == colour("layer0/u"));
    CHECK(colour("layer0/qkv") != colour("layer1/qkv"));
    CHECK(colour("layer1/qkv") != colour("layer2/qkv"));
}

TEST_CASE("an empty program has a picture too") {
    const Program p("empty");
    CHECK(plan_svg(p, plan_memory(p)).ends_with("</svg>\n"));
}
