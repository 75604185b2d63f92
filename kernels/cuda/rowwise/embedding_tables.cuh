// Embeddings' backward, second half: the gradients of the three tables from the gradients at the sums of their rows.
#pragma once

#include "kernels/cuda/rowwise/sort_rows.cuh"
#include "kernels/cuda/runtime/device.cuh"

namespace dropforge::kernels::on_cuda {

/// The pieces of an EmbeddingBackward's scratch (kernels/scratch.cpp).
struct EmbeddingScratch {
    explicit EmbeddingScratch(const EmbeddingBackward& e)
        : sorted(static_cast<IdRow*>(e.scratch)),
          other(sorted + e.rows),
          dsum(reinterpret_cast<float*>(other + e.rows)),
          partials(dsum + e.rows * e.columns) {}
    IdRow *sorted, *other;  // [rows]
    float* dsum;            // [rows, columns] the gradients
    float* partials;        // [device_row_blocks, 2, columns]
};

/// Gradients of positions and types. Uses scratch.partials.
void add_to_positions_and_types(const EmbeddingBackward& e, const EmbeddingScratch& scratch, Context& context);
/// Gradients of words. Overwrites scratch.dsum.
void add_to_words(const EmbeddingBackward& e, const EmbeddingScratch& scratch, Context& context);

}  // namespace dropforge::kernels::on_cuda
