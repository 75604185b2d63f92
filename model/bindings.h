// Gives a Program's caller-owned tensors their memory: the parameters' arenas and a batch's arrays, by the names of
// model/graph.h.
#pragma once

#include <string_view>

#include "data/batch.h"
#include "engine/executor.h"
#include "model/parameters.h"

namespace dropforge {

/// Binds the storage of that name if the program has one.
void bind_if_named(Executor& executor, std::string_view name, void* pointer);

/// Every parameter that the program names: masters from `values`, rounded copies from `copy` (nullptr: none), gradients
/// likewise.
void bind_parameters(Executor& executor, const Parameters& parameters, float* values, bf16* copy, float* gradients);

/// The batch's arrays from sequence `first` on, those that the program names. The program only reads them.
void bind_batch(Executor& executor, const data::Batch& batch, int64_t first);

/// Throws Error unless the batch has the sizes and the optional arrays that `program` was built for, `sequences` of
/// them in all.
void check_batch(const Program& program, const data::Batch& batch, int64_t sequences, int64_t length, int64_t masked);

}  // namespace dropforge
