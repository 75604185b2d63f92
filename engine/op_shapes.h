// Checks of tensors for the builders of ops. Each throws Error with the op's name, what was expected and what came.
#pragma once

#include <string>

#include "base/error.h"
#include "engine/ops.h"

namespace dropforge::ops {

inline int64_t rows(const Tensor& t) { return t.shape[0]; }
inline int64_t columns(const Tensor& t) { return t.shape.rank() > 1 ? t.shape[1] : 1; }

inline void same_shape(const std::string& name, const Tensor& a, const Tensor& b) {
    require(a.shape == b.shape, "{}: shapes {} and {} must be equal", name, a.shape.text(), b.shape.text());
}
inline void same_type(const std::string& name, const Tensor& a, const Tensor& b) {
    require(a.dtype == b.dtype, "{}: types {} and {} must be equal", name, name_of(a.dtype), name_of(b.dtype));
}

inline void check_given(const std::string& name, const char* what, const Tensor& t) {
    require(static_cast<bool>(t), "{}: no {} was given", name, what);
}
/// Checks that `t` is f32, bf16 or fp16.
inline void check_float(const std::string& name, const char* what, const Tensor& t) {
    check_given(name, what, t);
    require(t.dtype != DType::i32, "{}: {} must be of a float type, not i32", name, what);
}
/// Checks that `t` has this type and shape.
inline void check_tensor(const std::string& name, const char* what, const Tensor& t, DType dtype, const Shape& shape) {
    check_given(name, what, t);
    require(t.dtype == dtype && t.shape == shape, "{}: {} must be {} {}, not {} {}", name, what, name_of(dtype),
            shape.text(), name_of(t.dtype), t.shape.text());
}
/// Checks that `t` has the type and shape of `like`.
inline void check_like(const std::string& name, const char* what, const Tensor& t, const Tensor& like) {
    check_tensor(name, what, t, like.dtype, like.shape);
}
/// Checks that `t` has this type and `size` elements, in any shape.
inline void check_vector(const std::string& name, const char* what, const Tensor& t, DType dtype, int64_t size) {
    check_given(name, what, t);
    require(t.dtype == dtype && t.shape.size() == size, "{}: {} must be {} [{}], not {} {}", name, what, name_of(dtype),
            size, name_of(t.dtype), t.shape.text());
}

// The same checks for tensors that may be absent.
inline void check_optional_like(const std::string& name, const char* what, const Tensor& t, const Tensor& like) {
    if (t) check_like(name, what, t, like);
}
inline void check_optional_vector(const std::string& name, const char* what, const Tensor& t, DType dtype,
                                  int64_t size) {
    if (t) check_vector(name, what, t, dtype, size);
}

/// Number of f32 elements of a tensor that holds a T, such as kernels::LossScale.
template <typename T>
constexpr int64_t kFloatsOf = static_cast<int64_t>(sizeof(T) / sizeof(float));

/// Checks a loss scale (kernels::LossScale) that may be absent.
inline void check_optional_loss_scale(const std::string& name, const Tensor& t) {
    check_optional_vector(name, "loss_scale", t, DType::f32, kFloatsOf<kernels::LossScale>);
}

/// Checks that the state is given if the dropout draws from it.
inline void check_dropout(const std::string& name, const DropoutSite& d) {
    if (d.active()) check_given(name, "dropout state", d.state);
    check_optional_vector(name, "dropout state", d.state, DType::i32, 4);
}

/// The same, and that the rows it applies to make whole sequences.
inline void check_dropout_rows(const std::string& name, const DropoutSite& d, int64_t rows, int64_t per_sequence) {
    check_dropout(name, d);
    require(!d.active() || (per_sequence > 0 && rows % per_sequence == 0), "{}: {} rows are no sequences of {}", name,
            rows, per_sequence);
}

/// Rows per sequence of `large` in a gather or scatter, where `small` has the rows of `large` that `index` names.
inline int64_t per_sequence(const std::string& name, const Tensor& large, const Tensor& index, const Tensor& small) {
    check_float(name, "rows", large);
    same_type(name, small, large);
    require(index.dtype == DType::i32, "{}: index must be i32, not {}", name, name_of(index.dtype));
    require(index.shape.rank() == 2 && rows(small) == index.shape.size() && rows(large) % rows(index) == 0 &&
                columns(small) == columns(large),
            "{}: rows {} of {} do not make {}", name, index.shape.text(), large.shape.text(), small.shape.text());
    return rows(large) / rows(index);
}

}  // namespace dropforge::ops
