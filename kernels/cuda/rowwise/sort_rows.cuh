// Sorts rows by id: the first step of sums over rows with equal ids.
#pragma once

#include "kernels/cuda/runtime/device.cuh"

namespace dropforge::kernels::on_cuda {

struct alignas(8) IdRow {
    int32_t id, row;
};

/// sorted = (ids[row], row) in order of ids, equal ids in order of rows. ids are not negative; `other` is scratch.
void sort_rows(const int32_t* ids, int64_t rows, IdRow* sorted, IdRow* other, Context& context);

}  // namespace dropforge::kernels::on_cuda
