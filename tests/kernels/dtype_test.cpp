// The 16-bit floats: every number of fp16 and every border between two of them.
#include "kernels/dtype.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <string>
#include <type_traits>

namespace dropforge {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

fp16 of_bits(unsigned bits) {
    fp16 value;
    value.bits = static_cast<uint16_t>(bits);
    return value;
}

/// By the definition of IEEE 754, section 3.4.
double defined(unsigned bits) {
    const int exponent = static_cast<int>(bits >> 10 & 31u), mantissa = static_cast<int>(bits & 1023u);
    const double sign = bits >> 15 != 0 ? -1 : 1;
    return sign * (exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25));
}

TEST_CASE("fp16: every number is what its bits mean, and comes back as the same bits") {
    int wrong = 0;
    for (unsigned bits = 0; bits < 0x10000; ++bits) {
        if ((bits & 0x7c00u) == 0x7c00u) continue;
        const auto value = static_cast<float>(of_bits(bits));
        wrong += static_cast<double>(value) != defined(bits) || std::signbit(value) != (bits >> 15 != 0) ||
                 fp16(value).bits != bits;
    }
    CHECK(wrong == 0);
}

TEST_CASE("fp16: numbers between two go to the nearer one, those in the middle to the even one") {
    int wrong = 0;
    for (unsigned bits = 0; bits < 0x7c00; ++bits) {
        const double low = defined(bits), high = bits == 0x7bff ? 65536 : defined(bits + 1);
        const auto middle = static_cast<float>((low + high) / 2);  // exact
        for (const unsigned sign : {0u, 0x8000u}) {
            const auto rounded = [&](float x) { return fp16(sign == 0 ? x : -x).bits ^ sign; };
            wrong += rounded(middle) != bits + bits % 2;
            wrong += rounded(std::nextafter(middle, 0.0f)) != bits;
            wrong += rounded(std::nextafter(middle, kInfinity)) != bits + 1;
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("fp16: what is too large is infinite, NaN stays NaN") {
    for (const float x : {65520.0f, 65536.0f, 1e5f, std::numeric_limits<float>::max(), kInfinity}) {
        CHECK(static_cast<float>(fp16(x)) == kInfinity);
        CHECK(static_cast<float>(fp16(-x)) == -kInfinity);
    }
    CHECK(static_cast<float>(fp16(std::numeric_limits<float>::denorm_min())) == 0);
    for (const uint32_t nan : {0x7fc00000u, 0x7f800001u, 0xffffffffu, 0xff800001u})
        CHECK(std::isnan(static_cast<float>(fp16(std::bit_cast<float>(nan)))));
    for (unsigned bits = 0x7c01; bits < 0x8000; ++bits)
        if (!std::isnan(static_cast<float>(of_bits(bits)))) FAIL_CHECK("bits ", bits);
}

TEST_CASE("types have names and sizes") {
    CHECK(std::string(name_of(DType::f32)) == "f32");
    CHECK(std::string(name_of(DType::bf16)) == "bf16");
    CHECK(std::string(name_of(DType::fp16)) == "fp16");
    CHECK(std::string(name_of(DType::i32)) == "i32");
    CHECK((size_of(DType::f32) == 4 && size_of(DType::bf16) == 2 && size_of(DType::fp16) == 2));
    with_float_type(DType::fp16, [](auto type) { CHECK(std::is_same_v<decltype(type), fp16>); });
}

}  // namespace
}  // namespace dropforge
