// Operands of kernels under test.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "kernels/cuda/emulator/observed.h"
#include "kernels/dtype.h"

namespace dropforge::kernels {

/// Heap memory of which the observer of kernels' accesses (emulator/observed.h) is told when it is freed: what comes to
/// its place next is other memory.
template <typename T>
struct ForgottenWhenFreed : std::allocator<T> {
    ForgottenWhenFreed() = default;
    template <typename Other>
    ForgottenWhenFreed(const ForgottenWhenFreed<Other>&) {}  // NOLINT(google-explicit-constructor): as allocators must
    template <typename Other>
    struct rebind {
        using other = ForgottenWhenFreed<Other>;
    };
    void deallocate(T* p, size_t n) {
        simt::declare_written(p, n * sizeof(T));
        std::allocator<T>::deallocate(p, n);
    }
};

/// A matrix [rows, columns] with rows `stride` elements apart, in a heap block of exactly the bytes it needs: an
/// overrun is seen by the address sanitizer. At first all bits are 1: NaN in all float types, -1 in i32; so is the
/// padding for ever.
class Array {
  public:
    Array(DType dtype, int64_t rows, int64_t columns, int64_t stride = 0)
        : dtype_(dtype), rows_(rows), columns_(columns), stride_(std::max(stride, columns)) {
        const int64_t elements = rows > 0 ? (rows - 1) * stride_ + columns : 0;
        bytes_.assign(static_cast<size_t>(elements) * size_of(dtype), std::byte{0xff});
        if (!simt::observed()) return;
        for (int64_t r = 0; r < rows; ++r)  // not the padding, which kernels may read
            simt::declare_unwritten(bytes_.data() + position(r, 0), static_cast<size_t>(columns) * size_of(dtype));
    }

    DType dtype() const { return dtype_; }
    int64_t rows() const { return rows_; }
    int64_t columns() const { return columns_; }
    int64_t stride() const { return stride_; }
    template <typename T = void>
    T* data() {
        return reinterpret_cast<T*>(bytes_.data());
    }
    double at(int64_t row, int64_t column) const {
        switch (dtype_) {
            case DType::f32:
                return static_cast<double>(element<float>(row, column));
            case DType::bf16:
                return static_cast<double>(static_cast<float>(element<bf16>(row, column)));
            case DType::fp16:
                return static_cast<double>(static_cast<float>(element<fp16>(row, column)));
            case DType::i32:
                return element<int32_t>(row, column);
        }
        return 0;
    }
    void set(int64_t row, int64_t column, double value) {
        switch (dtype_) {
            case DType::f32:
                return store(row, column, static_cast<float>(value));
            case DType::bf16:
                return store(row, column, bf16(static_cast<float>(value)));
            case DType::fp16:
                return store(row, column, fp16(static_cast<float>(value)));
            case DType::i32:
                return store(row, column, static_cast<int32_t>(value));
        }
    }
    /// Sets every element to value(row, column).
    template <typename F>
    void fill(F&& value) {
        for (int64_t r = 0; r < rows_; ++r)
            for (int64_t c = 0; c < columns_; ++c) set(r, c, value(r, c));
    }
    bool padding_untouched() const {
        for (int64_t r = 0; r + 1 < rows_; ++r)
            for (size_t i = position(r, columns_); i < position(r + 1, 0); ++i)
                if (bytes_[i] != std::byte{0xff}) return false;
        return true;
    }
    friend bool operator==(const Array& a, const Array& b) { return a.bytes_ == b.bytes_; }  // bit for bit

  private:
    size_t position(int64_t row, int64_t column) const {
        return static_cast<size_t>(row * stride_ + column) * size_of(dtype_);
    }
    template <typename T>
    T element(int64_t row, int64_t column) const {
        T value;
        std::memcpy(&value, bytes_.data() + position(row, column), sizeof(T));
        return value;
    }
    template <typename T>
    void store(int64_t row, int64_t column, T value) {
        std::memcpy(bytes_.data() + position(row, column), &value, sizeof(T));
        simt::declare_written(bytes_.data() + position(row, column), sizeof(T));
    }

    DType dtype_;
    int64_t rows_, columns_, stride_;
    std::vector<std::byte, ForgottenWhenFreed<std::byte>> bytes_;
};

}  // namespace dropforge::kernels
