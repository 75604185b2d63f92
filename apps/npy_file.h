// NumPy's .npy, version 1.0, of f32 [n, columns], written row by row: n is known at the end.
#pragma once

#include <cstdint>
#include <span>

#include "base/file.h"

namespace dropforge {

class NpyFile {
  public:
    NpyFile(const fs::path& path, int64_t columns);

    /// Appends rows: a multiple of `columns` values.
    void write(std::span<const float> rows);
    /// Writes the header and gives the file its name (AtomicFile).
    void commit();
    int64_t rows() const { return rows_; }

  private:
    AtomicFile file_;
    int64_t columns_, rows_ = 0;
};

}  // namespace dropforge
