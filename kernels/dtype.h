// Element types and the 16-bit float that the engine stores activations and weight copies in.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace dropforge {

enum class DType : uint8_t { f32, bf16, i32 };

constexpr size_t size_of(DType dtype) { return dtype == DType::bf16 ? 2 : 4; }
constexpr const char* name_of(DType dtype) {
    return dtype == DType::f32 ? "f32" : dtype == DType::bf16 ? "bf16" : "i32";
}

/// bfloat16: the upper half of a float; conversion rounds to nearest even, NaN stays NaN.
struct bf16 {
    uint16_t bits = 0;

    bf16() = default;
    explicit bf16(float value) {
        const uint32_t word = std::bit_cast<uint32_t>(value);
        bits = (word & 0x7fffffffu) > 0x7f800000u ? static_cast<uint16_t>((word >> 16) | 0x40u)
                                                  : static_cast<uint16_t>((word + 0x7fffu + ((word >> 16) & 1u)) >> 16);
    }
    explicit operator float() const { return std::bit_cast<float>(uint32_t{bits} << 16); }
};
static_assert(sizeof(bf16) == 2);

/// Calls f with a value of the storage type of `dtype` (f32 or bf16): one template for both.
template <typename F>
decltype(auto) with_float_type(DType dtype, F&& f) {
    return dtype == DType::bf16 ? f(bf16{}) : f(float{});
}

}  // namespace dropforge
