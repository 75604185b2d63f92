#include "engine/tensor.h"

#include <doctest/doctest.h>

#include "base/error.h"

using namespace dropforge;

TEST_CASE("shapes know their size, rank and text") {
    const Shape shape{4, 128, 256};
    CHECK(shape.rank() == 3);
    CHECK(shape[1] == 128);
    CHECK(shape.size() == 4 * 128 * 256);
    CHECK(shape.text() == "[4, 128, 256]");
    CHECK(Shape{}.size() == 1);
    CHECK(Shape{}.text() == "[]");
    CHECK(Shape{3, 0}.size() == 0);
    CHECK(Shape{70'000, 30'522}.size() == int64_t{70'000} * 30'522);  // more than 2^31
    CHECK(shape == Shape{4, 128, 256});
    CHECK_FALSE(shape == Shape{4, 128, 256, 1});
    CHECK_THROWS_AS(Shape({1, 2, 3, 4, 5}), Error);
    CHECK_THROWS_WITH_AS(Shape({2, -1}), "a dimension is at least 0, not -1", Error);
}

TEST_CASE("a view is the same storage from an element on") {
    const Tensor qkv{3, DType::bf16, 64, {8, 12}};
    const Tensor k = qkv.view(4, {2, 2, 23});
    CHECK(k.storage == 3);
    CHECK(k.offset == 64 + 4 * 2);
    CHECK(k.shape == Shape{2, 2, 23});
    CHECK(k.bytes() == 92 * 2);
    CHECK(k.view(1, {1}).offset == 64 + 5 * 2);
    CHECK(qkv.reshaped({96}).offset == 64);
    CHECK_NOTHROW(qkv.view(96, {0}));
    CHECK_THROWS_AS(qkv.view(5, {92}), Error);
    CHECK_THROWS_AS(qkv.view(-1, {2}), Error);
    CHECK_THROWS_AS(qkv.reshaped({97}), Error);
    CHECK(Tensor{1, DType::f32, 0, {3}}.bytes() == 12);
    CHECK(Tensor{1, DType::i32, 0, {3}}.bytes() == 12);
    CHECK_FALSE(Tensor{});
}
