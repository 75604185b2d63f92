#include "kernels/cuda/cudnn/cudnn_trouble.h"

namespace dropforge::kernels::on_cuda {

std::string cudnn_trouble(int64_t version, int compute_capability, const AttentionShape& s) {
    if (version == 91000 || version == 91001) return "wrong results of attention are known of cuDNN 9.10.0 and 9.10.1";
    const bool hopper = compute_capability / 10 == 9, since_9_20 = version >= 92000 && version < 92700;
    if (hopper && since_9_20 && (s.rows_kv % 128 == 64 || s.rows_q == 1))
        return "gradients that are NaN are known of cuDNN 9.20 to 9.26 for one query, or keys = 64 (mod 128)";
    return "";
}

}  // namespace dropforge::kernels::on_cuda
