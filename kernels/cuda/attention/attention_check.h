// Whether a library's attention is right here: each plan is tried once before it serves.
#pragma once

#include <string>

#include "kernels/cuda/attention/attention_library.h"
#include "kernels/cuda/runtime/context.h"

namespace dropforge::kernels::on_cuda {

struct AttentionVerdict {
    std::string trouble;                            // what is wrong with the plan; empty: nothing
    double error = 0;                               // the largest of any tensor, relative
    double microseconds = 0, own_microseconds = 0;  // of forward and backward together; 0: not measured
};

/// Runs the plan on random operands and on ones whose scaled scores are all about -100 (where exp of a score that is
/// padding overflows), with sequences of many lengths. Without dropout, everything it writes is held beside our own
/// kernels. With dropout, whose bits are the library's, the mask is found by values that are unit vectors, and two
/// heads are calculated again in double. Nothing may be NaN or stay unwritten. Error if there is not enough memory.
AttentionVerdict check_attention(const AttentionShape& shape, AttentionPlan& plan, void* workspace,
                                 CudaContext& context);

}  // namespace dropforge::kernels::on_cuda
