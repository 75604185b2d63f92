#include "engine/tensor.h"

#include <algorithm>

#include "base/error.h"

namespace dropforge {

Shape::Shape(std::initializer_list<int64_t> dimensions) : rank_(static_cast<int>(dimensions.size())) {
    require(dimensions.size() <= dimensions_.size(), "a shape has at most 4 dimensions, not {}", dimensions.size());
    std::copy(dimensions.begin(), dimensions.end(), dimensions_.begin());
    for (int64_t d : dimensions) require(d >= 0, "a dimension is at least 0, not {}", d);
}

int64_t Shape::size() const {
    int64_t product = 1;
    for (int i = 0; i < rank_; ++i) product *= (*this)[i];
    return product;
}

std::string Shape::text() const {
    std::string text = "[";
    for (int i = 0; i < rank_; ++i) text += (i ? ", " : "") + std::to_string((*this)[i]);
    return text + "]";
}

Tensor Tensor::view(int64_t first, const Shape& as) const {
    require(first >= 0 && first + as.size() <= shape.size(),
            "a view of {} elements from {} on does not fit in a tensor of shape {}", as.size(), first, shape.text());
    Tensor result = *this;
    result.offset += first * static_cast<int64_t>(size_of(dtype));
    result.shape = as;
    return result;
}

}  // namespace dropforge
