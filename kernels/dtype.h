// Element types and the 16-bit floats that the engine stores activations and weight copies in.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace dropforge {

enum class DType : uint8_t { f32, bf16, fp16, i32 };

constexpr bool is_16_bit(DType dtype) { return dtype == DType::bf16 || dtype == DType::fp16; }
constexpr size_t size_of(DType dtype) { return is_16_bit(dtype) ? 2 : 4; }
constexpr const char* name_of(DType dtype) {
    constexpr const char* kNames[] = {"f32", "bf16", "fp16", "i32"};
    return kNames[static_cast<size_t>(dtype)];
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

/// IEEE 754 binary16: conversion rounds to nearest even, also where numbers are subnormal (below 2^-14); beyond 65504
/// it gives infinity, NaN stays NaN.
struct fp16 {
    uint16_t bits = 0;

    fp16() = default;
    explicit fp16(float value) {
        const uint32_t word = std::bit_cast<uint32_t>(value), magnitude = word & 0x7fffffffu;
        bits = static_cast<uint16_t>((word >> 16 & 0x8000u) | rounded(magnitude));
    }
    explicit operator float() const {
        const uint32_t sign = uint32_t{bits & 0x8000u} << 16, exponent = bits >> 10 & 31u, mantissa = bits & 1023u;
        const uint32_t magnitude = exponent == 31  ? 0x7f800000u | mantissa << 13
                                   : exponent == 0 ? std::bit_cast<uint32_t>(static_cast<float>(mantissa) * 0x1p-24f)
                                                   : (exponent + 112) << 23 | mantissa << 13;
        return std::bit_cast<float>(sign | magnitude);
    }

  private:
    static uint32_t rounded(uint32_t magnitude) {
        constexpr uint32_t kInfinity = 0x7f800000u, kTooLarge = 0x47800000u, kNormal = 0x38800000u;  // 2^16, 2^-14
        if (magnitude > kInfinity) return 0x7e00u | (magnitude >> 13 & 1023u);
        if (magnitude >= kTooLarge) return 0x7c00u;
        if (magnitude >= kNormal)  // the exponent's bias is 112 less
            return (magnitude - (112u << 23) + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
        constexpr float kHalf = 0.5f;  // its ulps are the subnormals'
        return std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + kHalf) - std::bit_cast<uint32_t>(kHalf);
    }
};
static_assert(sizeof(fp16) == 2);

/// Calls f with a value of the storage type of `dtype` (f32, bf16 or fp16).
template <typename F>
decltype(auto) with_float_type(DType dtype, F&& f) {
    return dtype == DType::bf16 ? f(bf16{}) : dtype == DType::fp16 ? f(fp16{}) : f(float{});
}

}  // namespace dropforge
