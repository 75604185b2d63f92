// What `bench kernels` measures: every operation of the kernel table at the shapes of a BERT, with buffers of its own.
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

struct KernelCase {
    double bytes;      // each operand read once, each result written once
    double allocated;  // of all its buffers
    double flops = 0;  // of GEMM and attention, which arithmetic bounds; 0: memory does
    std::shared_ptr<void> memory;
    std::function<bool(const kernels::KernelTable&, kernels::Context&)> run;  // false: the backend lacks it
};

/// Builds its buffers, in a context's memory, when called, so that only one case is in memory at a time.
struct KernelCaseMaker {
    std::string name;  // the KernelTable's entry, and a word if there are several
    std::function<KernelCase(kernels::Context&)> make;
};

std::vector<KernelCaseMaker> kernel_cases(const ModelShape& shape, DType dtype);
/// Those among them that move, choose and compare rows: what masked positions, token dropping and ScTD add to BERT.
std::vector<KernelCaseMaker> dropping_cases(const ModelShape& shape, DType dtype);

}  // namespace dropforge
