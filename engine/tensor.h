// Tensor: a small value that names a storage, an offset in it, a shape and an element type. It owns no memory: that
// belongs to the plan, or to the caller that binds it.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "kernels/dtype.h"

namespace dropforge {

/// Up to four dimensions, e.g. [B, S, h].
class Shape {
  public:
    Shape() = default;
    Shape(std::initializer_list<int64_t> dimensions);

    int rank() const { return rank_; }
    int64_t operator[](int i) const { return dimensions_[static_cast<size_t>(i)]; }
    std::vector<int64_t> dimensions() const { return {dimensions_.begin(), dimensions_.begin() + rank_}; }
    /// Number of elements.
    int64_t size() const;
    std::string text() const;  // "[4, 128, 256]"
    friend bool operator==(const Shape&, const Shape&) = default;

  private:
    std::array<int64_t, 4> dimensions_{};
    int rank_ = 0;
};

struct Tensor {
    int32_t storage = -1;  // index into Program::storages(); -1: no tensor
    DType dtype = DType::f32;
    int64_t offset = 0;  // bytes from the start of the storage
    Shape shape;

    explicit operator bool() const { return storage >= 0; }
    int64_t bytes() const { return shape.size() * static_cast<int64_t>(size_of(dtype)); }
    /// The tensor's memory from element `first` on, with another shape. Error if that exceeds the tensor.
    Tensor view(int64_t first, const Shape& as) const;
    Tensor reshaped(const Shape& as) const { return view(0, as); }
};

}  // namespace dropforge
