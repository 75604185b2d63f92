// What the builders of ops ask about shapes: for ops.cpp and its neighbours only.
#pragma once

#include <string>

#include "base/error.h"
#include "engine/tensor.h"

namespace dropforge::ops {

inline int64_t rows(const Tensor& t) { return t.shape[0]; }
inline int64_t columns(const Tensor& t) { return t.shape.rank() > 1 ? t.shape[1] : 1; }

inline void same_shape(const std::string& name, const Tensor& a, const Tensor& b) {
    require(a.shape == b.shape, "{}: shapes {} and {} must be equal", name, a.shape.text(), b.shape.text());
}
inline void same_type(const std::string& name, const Tensor& a, const Tensor& b) {
    require(a.dtype == b.dtype, "{}: types {} and {} must be equal", name, name_of(a.dtype), name_of(b.dtype));
}
/// `t`, if it is there, has that type and so many elements.
inline void is_vector(const std::string& name, const char* what, const Tensor& t, DType dtype, int64_t size) {
    require(!t || (t.dtype == dtype && t.shape.size() == size), "{}: {} must be {} [{}], not {} {}", name, what,
            name_of(dtype), size, name_of(t.dtype), t.shape.text());
}

/// Rows per sequence of the large side of a gather or scatter: `small` has the rows of `large` that `index` names.
inline int64_t per_sequence(const std::string& name, const Tensor& large, const Tensor& index, const Tensor& small) {
    require(rows(small) == index.shape.size() && rows(large) % rows(index) == 0 && columns(small) == columns(large),
            "{}: rows {} of {} do not make {}", name, index.shape.text(), large.shape.text(), small.shape.text());
    return rows(large) / rows(index);
}

}  // namespace dropforge::ops
