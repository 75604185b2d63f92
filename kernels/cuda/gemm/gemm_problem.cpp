#include "kernels/cuda/gemm/gemm_problem.h"

#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "kernels/cuda/gemm/gemm_split_k.h"

namespace dropforge::kernels::on_cuda {

namespace {

constexpr int kProposals = 8;
constexpr uint32_t kWidestAccess = 16;

cudaDataType_t type_of(DType dtype) {
    return dtype == DType::bf16 ? CUDA_R_16BF : dtype == DType::fp16 ? CUDA_R_16F : CUDA_R_32F;
}

uint32_t alignment(const void* pointer) {
    const auto address = reinterpret_cast<uintptr_t>(pointer);
    uint32_t align = kWidestAccess;
    while (address % align != 0) align /= 2;
    return align;
}

cublasLtMatrixLayoutOpaque_t* layout(cudaDataType_t type, int64_t rows, int64_t columns, int64_t ld) {
    cublasLtMatrixLayout_t created = nullptr;
    check(cublas_lt().matrix_layout_create(&created, type, static_cast<uint64_t>(rows), static_cast<uint64_t>(columns),
                                           ld),
          "describe a matrix");
    return created;
}

template <typename T>
void set(cublasLtMatmulDesc_t descriptor, cublasLtMatmulDescAttributes_t attribute, T value) {
    check(cublas_lt().matmul_desc_set_attribute(descriptor, attribute, &value, sizeof value), "describe a GEMM");
}
template <typename T>
void set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute, T value) {
    check(cublas_lt().matmul_preference_set_attribute(preference, attribute, &value, sizeof value),
          "restrict the algorithms");
}

template <typename T>
void set(cublasLtMatmulAlgo_t& algorithm, cublasLtMatmulAlgoConfigAttributes_t attribute, T value) {
    check(cublas_lt().matmul_algo_config_set_attribute(&algorithm, attribute, &value, sizeof value),
          "change an algorithm");
}

template <typename T>
T get(const cublasLtMatmulAlgo_t& algorithm, cublasLtMatmulAlgoConfigAttributes_t attribute) {
    T value{};
    size_t written = 0;
    check(cublas_lt().matmul_algo_config_get_attribute(&algorithm, attribute, &value, sizeof value, &written),
          "read what an algorithm is");
    return value;
}

}  // namespace

void check(cublasStatus_t status, const char* what) {
    if (status != CUBLAS_STATUS_SUCCESS)
        throw Error("cuBLASLt: cannot {}: {}", what, cublas_lt().get_status_string(status));
}

GemmKey::GemmKey(const Gemm& g, bool tf32)
    : m(g.m),
      n(g.n),
      k(g.k),
      lda(g.lda),
      ldb(g.ldb),
      ldc(g.ldc),
      align_a(alignment(g.a)),
      align_b(alignment(g.b)),
      align_c(std::min({alignment(g.c), alignment(g.gelu.output), alignment(g.gelu.input),
                        alignment(g.gelu.output ? g.bias : nullptr)})),
      transpose_a(g.transpose_a),
      transpose_b(g.transpose_b),
      accumulate(g.accumulate),
      bias(g.bias != nullptr),
      bias_gradient(g.bias_gradient != nullptr),
      tf32(tf32 && g.dtype == DType::f32),
      dtype(g.dtype),
      out(g.out),
      gelu(g.gelu.output  ? GeluEpilogue::output
           : g.gelu.input ? GeluEpilogue::slope
                          : GeluEpilogue::none),
      form(g.gelu.form) {}

namespace {

std::string_view text(GeluEpilogue epilogue, Gelu form) {
    switch (epilogue) {
        case GeluEpilogue::output:
            return form == Gelu::erf ? " +gelu" : " +gelu_new";
        case GeluEpilogue::slope:
            return form == Gelu::erf ? " *gelu'" : " *gelu_new'";
        default:
            return "";
    }
}

}  // namespace

std::string text(const GemmKey& key) {
    return fmt::format("{}{} {}x{}x{} {}{}{}{}{}{}{} ld {} {} {} align {} {} {}", name_of(key.dtype),
                       key.out == key.dtype ? "" : fmt::format("->{}", name_of(key.out)), key.m, key.n, key.k,
                       key.transpose_a ? 'T' : 'N', key.transpose_b ? 'T' : 'N', key.bias ? " +bias" : "",
                       text(key.gelu, key.form), key.bias_gradient ? " +sums" : "", key.accumulate ? " +c" : "",
                       key.tf32 ? " tf32" : "", key.lda, key.ldb, key.ldc, key.align_a, key.align_b, key.align_c);
}

namespace {

uint32_t epilogue_of(const GemmKey& key) {
    switch (key.gelu) {
        case GeluEpilogue::output:
            return key.bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
        case GeluEpilogue::slope:
            return CUBLASLT_EPILOGUE_DGELU;  // not DGELU_BGRAD, whose bias gradient has c's type: 16 bits
        default:
            if (key.bias) return CUBLASLT_EPILOGUE_BIAS;
            // Our a is cuBLASLt's B, so the sums over k of a are BGRADB.
            return key.bias_gradient ? CUBLASLT_EPILOGUE_BGRADB : CUBLASLT_EPILOGUE_DEFAULT;
    }
}

}  // namespace

GemmProblem::GemmProblem(const GemmKey& key, DType bias) : key_(key) {
    cublasLtMatmulDesc_t matmul = nullptr;
    check(cublas_lt().matmul_desc_create(&matmul, key.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F,
                                         CUDA_R_32F),
          "describe a GEMM");
    matmul_.reset(matmul);
    set(matmul, CUBLASLT_MATMUL_DESC_TRANSA, int32_t{key.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N});
    set(matmul, CUBLASLT_MATMUL_DESC_TRANSB, int32_t{key.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N});
    const uint32_t epilogue = epilogue_of(key);
    set(matmul, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    if (key.bias) set(matmul, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, int32_t{type_of(bias)});
    if (key.bias_gradient) set(matmul, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, int32_t{CUDA_R_32F});
    if (key.gelu != GeluEpilogue::none) set(matmul, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, key.ldc);
    // cuBLASLt's columns are our rows.
    const cudaDataType_t in = type_of(key.dtype);
    a_.reset(key.transpose_b ? layout(in, key.k, key.n, key.ldb) : layout(in, key.n, key.k, key.ldb));
    b_.reset(key.transpose_a ? layout(in, key.m, key.k, key.lda) : layout(in, key.k, key.m, key.lda));
    c_.reset(layout(type_of(key.out), key.n, key.m, key.ldc));
}

/// Sets the pointers that belong to the description rather than to the call: bias or bias gradient, and GELU's
/// auxiliary matrix, which in either direction is the one before GELU.
void GemmProblem::point(const Gemm& g, const void* vector) const {
    if (key_.bias || key_.bias_gradient) set(matmul_.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, vector);
    if (key_.gelu != GeluEpilogue::none)
        set(matmul_.get(), CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, g.gelu.output ? g.c : g.gelu.input);
}

std::vector<cublasLtMatmulAlgo_t> GemmProblem::propose(const Gemm& g, const LtCall& call) const {
    // The heuristic reads the pointers' alignment. A bias that is not aligned will be copied to an aligned place, which
    // nullptr stands for.
    const void* vector = g.bias ? g.bias : g.bias_gradient;
    point(g, alignment(vector) == kWidestAccess ? vector : nullptr);
    cublasLtMatmulPreference_t created = nullptr;
    check(cublas_lt().matmul_preference_create(&created), "restrict the algorithms");
    const std::unique_ptr<cublasLtMatmulPreferenceOpaque_t, DestroyDescriptor> preference(created);
    set(created, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(call.workspace_bytes));
    // Split-K partial sums are added from the workspace, in f32 and in order; the in-place scheme is nondeterministic.
    set(created, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
    set(created, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key_.align_b);
    set(created, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key_.align_a);
    set(created, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key_.align_c);
    set(created, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key_.align_c);
    cublasLtMatmulHeuristicResult_t results[kProposals] = {};
    int count = 0;
    const cublasStatus_t status = cublas_lt().matmul_algo_get_heuristic(
        call.handle, matmul_.get(), a_.get(), b_.get(), c_.get(), c_.get(), created, kProposals, results, &count);
    // cuBLASLt answers either where it has no kernel for the GEMM.
    if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE) return {};
    check(status, "find an algorithm");
    std::vector<cublasLtMatmulAlgo_t> algorithms;
    for (int i = 0; i < count; ++i)
        if (results[i].state == CUBLAS_STATUS_SUCCESS) algorithms.push_back(results[i].algo);
    return algorithms;
}

std::vector<cublasLtMatmulAlgo_t> GemmProblem::with_other_split_k(const cublasLtMatmulAlgo_t& algorithm,
                                                                  const LtCall& call) const {
    std::vector<cublasLtMatmulAlgo_t> others;
    const auto most = static_cast<int32_t>(max_split_k(key_.m, key_.n, key_.k));
    for (int32_t split_k = 1; split_k <= most; ++split_k) {
        if (split_k == get<int32_t>(algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM)) continue;
        cublasLtMatmulAlgo_t other = algorithm;
        set(other, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, split_k);
        set(other, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME,
            uint32_t{split_k == 1 ? CUBLASLT_REDUCTION_SCHEME_NONE : CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
        if (accepts(other, call)) others.push_back(other);
    }
    return others;
}

bool GemmProblem::accepts(const cublasLtMatmulAlgo_t& algorithm, const LtCall& call) const {
    cublasLtMatmulHeuristicResult_t result{};
    return cublas_lt().matmul_algo_check(call.handle, matmul_.get(), a_.get(), b_.get(), c_.get(), c_.get(), &algorithm,
                                         &result) == CUBLAS_STATUS_SUCCESS &&
           result.workspaceSize <= static_cast<size_t>(call.workspace_bytes);
}

cublasStatus_t GemmProblem::run(const Gemm& g, const void* vector, void* d, const cublasLtMatmulAlgo_t& algorithm,
                                const LtCall& call) {
    point(g, vector);
    if (g.gelu.output) d = g.gelu.output;
    const float alpha = 1, beta = key_.accumulate ? 1 : 0;
    return cublas_lt().matmul(call.handle, matmul_.get(), &alpha, g.b, a_.get(), g.a, b_.get(), &beta, g.c, c_.get(), d,
                              c_.get(), &algorithm, call.workspace, static_cast<size_t>(call.workspace_bytes),
                              call.stream);
}

std::string name_of(const cublasLtMatmulAlgo_t& algorithm) {
    return fmt::format("algorithm {}, tile {}, stages {}, split-K {}", get<int32_t>(algorithm, CUBLASLT_ALGO_CONFIG_ID),
                       get<uint32_t>(algorithm, CUBLASLT_ALGO_CONFIG_TILE_ID),
                       get<uint32_t>(algorithm, CUBLASLT_ALGO_CONFIG_STAGES_ID),
                       get<int32_t>(algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM));
}

}  // namespace dropforge::kernels::on_cuda
