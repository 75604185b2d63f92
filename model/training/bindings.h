// Gives a Program's caller-owned tensors their memory: the parameters' arenas and a batch's arrays, by the names of
// model/network/names.h.
#pragma once

#include <set>
#include <string_view>

#include "data/batches/batch.h"
#include "engine/executor.h"
#include "engine/staging.h"
#include "model/methods/method.h"
#include "model/network/parameters.h"

namespace dropforge {

/// Binds the storage of that name if the program has one.
void bind_if_named(Executor& executor, std::string_view name, void* pointer);

/// Every parameter that the program names: masters from `values`, rounded copies from `copy` (nullptr: none), gradients
/// likewise.
void bind_parameters(Executor& executor, const Parameters& parameters, float* values, uint16_t* copy, float* gradients);

/// Whether a caller-owned tensor of that name is a parameter, its rounded copy or its gradient.
bool names_parameter(std::string_view name);

/// The inputs that stage_batch() sets, as far as a batch has them.
std::set<std::string_view> batch_names();

/// Copies the batch's arrays, `sequences` of them from `first` on, to the inputs of their names, as far as there are
/// such, and the rows that the losses read. Error if a size is not the programs'.
void stage_batch(const Staging& staging, const data::Batch& batch, int64_t first, int64_t sequences);

/// The method's own inputs for the same sequences.
void stage_method_inputs(const Staging& staging, const Method& method, const StepInfo& info, const data::Batch& batch,
                         int64_t first, int64_t sequences);

/// Throws Error unless the batch has the sizes and the optional arrays that `program` was built for, `sequences` of
/// them in all.
void check_batch(const Program& program, const data::Batch& batch, int64_t sequences, int64_t length, int64_t masked);

/// The heads whose labels the batch has.
LossHeads heads_of(const data::Batch& batch);

}  // namespace dropforge
