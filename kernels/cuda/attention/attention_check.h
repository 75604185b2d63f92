// The check of a library's attention on this GPU: each plan passes it once before it is used.
#pragma once

#include <string>

#include "kernels/cuda/attention/attention_library.h"
#include "kernels/cuda/runtime/context.h"

namespace dropforge::kernels::on_cuda {

struct AttentionVerdict {
    std::string trouble;                            // what is wrong with the plan's results; empty: nothing
    double error = 0;                               // the largest relative error of a tensor
    double microseconds = 0, own_microseconds = 0;  // forward and backward together; 0: not measured
};

/// Runs the plan on random operands and on ones whose scaled scores are all about -100 (where exp of a padded score
/// overflows), with sequences of many lengths. Without dropout, all outputs are compared with those of our own kernels.
/// With dropout, whose bits are the library's, values that are unit vectors reveal the mask, and two heads are
/// recomputed in double. No output may be NaN or unwritten. Error if there is too little memory.
AttentionVerdict check_attention(const AttentionShape& shape, AttentionPlan& plan, void* workspace,
                                 CudaContext& context);

}  // namespace dropforge::kernels::on_cuda
