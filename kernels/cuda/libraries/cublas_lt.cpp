#include "kernels/cuda/libraries/cublas_lt.h"

#include "kernels/cuda/libraries/library.h"

namespace dropforge::kernels::on_cuda {

const CublasLt& cublas_lt() {
    static const CublasLt functions = [] {
        const Library library = Library::open({"libcublasLt.so.13", "libcublasLt.so.12"});
        CublasLt f{};
        library.find("cublasLtGetVersion", f.get_version);
        library.find("cublasLtGetStatusString", f.get_status_string);
        library.find("cublasLtCreate", f.create);
        library.find("cublasLtDestroy", f.destroy);
        library.find("cublasLtMatmulDescCreate", f.matmul_desc_create);
        library.find("cublasLtMatmulDescDestroy", f.matmul_desc_destroy);
        library.find("cublasLtMatmulDescSetAttribute", f.matmul_desc_set_attribute);
        library.find("cublasLtMatrixLayoutCreate", f.matrix_layout_create);
        library.find("cublasLtMatrixLayoutDestroy", f.matrix_layout_destroy);
        library.find("cublasLtMatmulPreferenceCreate", f.matmul_preference_create);
        library.find("cublasLtMatmulPreferenceDestroy", f.matmul_preference_destroy);
        library.find("cublasLtMatmulPreferenceSetAttribute", f.matmul_preference_set_attribute);
        library.find("cublasLtMatmulAlgoGetHeuristic", f.matmul_algo_get_heuristic);
        library.find("cublasLtMatmulAlgoCheck", f.matmul_algo_check);
        library.find("cublasLtMatmulAlgoConfigGetAttribute", f.matmul_algo_config_get_attribute);
        library.find("cublasLtMatmulAlgoConfigSetAttribute", f.matmul_algo_config_set_attribute);
        library.find("cublasLtMatmul", f.matmul);
        return f;
    }();
    return functions;
}

}  // namespace dropforge::kernels::on_cuda
