// The cases of `bench kernels`: every operation of the kernel table at the shapes of a BERT.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace dropforge {

/// Sizes of a training step: `rows` = batch * sequence tokens.
struct ModelShape {
    std::string name;
    int64_t hidden, heads;
    int64_t rows = 4096, sequence = 128, masked = 640, vocabulary = 30522, positions = 512;
};

/// One call of an operation, with its buffers.
struct KernelCase {
    double bytes;      // of operands, read once, and results, written once
    double allocated;  // bytes of all buffers
    double flops = 0;  // of GEMM and attention, which arithmetic bounds; 0 for operations that memory bounds
    std::shared_ptr<void> memory;
    std::function<bool(const kernels::KernelTable&, kernels::Context&)> run;  // false: the backend lacks it
};

/// A case that allocates its buffers, in a context's memory, when it is made, so that one case is in memory at a time.
struct KernelCaseMaker {
    std::string name;  // the KernelTable's entry, with a word if there are several cases of it
    std::function<KernelCase(kernels::Context&)> make;
};

std::vector<KernelCaseMaker> kernel_cases(const ModelShape& shape, DType dtype);
std::vector<KernelCaseMaker> loss_cases(const ModelShape& shape, DType dtype);
/// The cases of operations for masked positions, token dropping and ScTD, which move, choose and compare rows.
std::vector<KernelCaseMaker> dropping_cases(const ModelShape& shape, DType dtype);

}  // namespace dropforge
