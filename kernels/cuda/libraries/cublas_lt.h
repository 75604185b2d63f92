// cuBLASLt's functions, from a library that is opened at the first GEMM.
#pragma once

#include <cublasLt.h>

#include <cstddef>

namespace dropforge::kernels::on_cuda {

/// Each has the type of the function cublasLt… in cublasLt.h.
struct CublasLt {
    decltype(&cublasLtGetVersion) get_version;
    decltype(&cublasLtGetStatusString) get_status_string;
    decltype(&cublasLtCreate) create;
    decltype(&cublasLtDestroy) destroy;
    decltype(&cublasLtMatmulDescCreate) matmul_desc_create;
    decltype(&cublasLtMatmulDescDestroy) matmul_desc_destroy;
    decltype(&cublasLtMatmulDescSetAttribute) matmul_desc_set_attribute;
    decltype(&cublasLtMatrixLayoutCreate) matrix_layout_create;
    decltype(&cublasLtMatrixLayoutDestroy) matrix_layout_destroy;
    decltype(&cublasLtMatmulPreferenceCreate) matmul_preference_create;
    decltype(&cublasLtMatmulPreferenceDestroy) matmul_preference_destroy;
    decltype(&cublasLtMatmulPreferenceSetAttribute) matmul_preference_set_attribute;
    decltype(&cublasLtMatmulAlgoGetHeuristic) matmul_algo_get_heuristic;
    decltype(&cublasLtMatmulAlgoCheck) matmul_algo_check;
    decltype(&cublasLtMatmulAlgoConfigGetAttribute) matmul_algo_config_get_attribute;
    decltype(&cublasLtMatmulAlgoConfigSetAttribute) matmul_algo_config_set_attribute;
    decltype(&cublasLtMatmul) matmul;
};

/// Error if there is no such library: what was looked for where.
const CublasLt& cublas_lt();

/// Error unless `status` is a success: "cuBLASLt: cannot `what`: ", then the library's own text.
void check(cublasStatus_t status, const char* what);

}  // namespace dropforge::kernels::on_cuda
