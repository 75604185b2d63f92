// One vector of all rows of a sequence.
#pragma once

#include <array>
#include <cstdint>

namespace dropforge {

/// Which rows of the last layer's output make the vector of a sequence: [CLS], or all real ones, by their mean.
enum class Pooling : uint8_t { cls, mean };
inline constexpr std::array kPoolingNames{"cls", "mean"};

}  // namespace dropforge
