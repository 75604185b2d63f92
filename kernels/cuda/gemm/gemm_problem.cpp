#include "kernels/cuda/gemm/gemm_problem.h"

#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "kernels/cuda/gemm/gemm_parts.h"

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
    cublasLtMatrixLayout_t made = nullptr;
    check(
        cublas_lt().matrix_layout_create(&made, type, static_cast<uint64_t>(rows), static_cast<uint64_t>(columns), ld),
        "describe a matrix");
    return made;
}

template <typename T>
void set(cublasLtMatmulDesc_t descriptor, cublasLtMatmulDescAttributes_t attribute, T value) {
    check(cublas_lt().matmul_desc_set_attribute(descriptor, attribute, &value, sizeof value), "describe a product");
}
template <typename T>
void set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute, T value) {
    check(cublas_lt().matmul_preference_set_attribute(preference, attribute, &value, sizeof value),
          "say which algorithms will do");
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
      sums(g.a_sums != nullptr),
      tf32(tf32 && g.dtype == DType::f32),
      dtype(g.dtype),
      out(g.out),
      gelu(g.gelu.output  ? GeluPart::output
           : g.gelu.input ? GeluPart::slope
                          : GeluPart::none),
      form(g.gelu.form) {}

namespace {

std::string_view text(GeluPart part, Gelu form) {
    switch (part) {
        case GeluPart::output:
            return form == Gelu::erf ? " +gelu" : " +gelu_new";
        case GeluPart::slope:
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
                       text(key.gelu, key.form), key.sums ? " +sums" : "", key.accumulate ? " +c" : "",
                       key.tf32 ? " tf32" : "", key.lda, key.ldb, key.ldc, key.align_a, key.align_b, key.align_c);
}

namespace {

uint32_t epilogue_of(const GemmKey& key) {
    switch (key.gelu) {
        case GeluPart::output:
            return key.bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
        case GeluPart::slope:
            return CUBLASLT_EPILOGUE_DGELU;  // its BGRAD has the sums in c's type: 16 bits
        default:                             // sums over k are of their B
            return key.bias ? CUBLASLT_EPILOGUE_BIAS : key.sums ? CUBLASLT_EPILOGUE_BGRADB : CUBLASLT_EPILOGUE_DEFAULT;
    }
}

}  // namespace

GemmProblem::GemmProblem(const GemmKey& key, DType bias) : key_(key) {
    cublasLtMatmulDesc_t product = nullptr;
    check(cublas_lt().matmul_desc_create(&product, key.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F,
                                         CUDA_R_32F),
          "describe a product");
    product_.reset(product);
    set(product, CUBLASLT_MATMUL_DESC_TRANSA, int32_t{key.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N});
    set(product, CUBLASLT_MATMUL_DESC_TRANSB, int32_t{key.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N});
    const uint32_t epilogue = epilogue_of(key);
    set(product, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    if (key.bias) set(product, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, int32_t{type_of(bias)});
    if (key.sums) set(product, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, int32_t{CUDA_R_32F});
    if (key.gelu != GeluPart::none) set(product, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, key.ldc);
    // Columns of theirs are rows of ours.
    const cudaDataType_t in = type_of(key.dtype);
    a_.reset(key.transpose_b ? layout(in, key.k, key.n, key.ldb) : layout(in, key.n, key.k, key.ldb));
    b_.reset(key.transpose_a ? layout(in, key.m, key.k, key.lda) : layout(in, key.k, key.m, key.lda));
    c_.reset(layout(type_of(key.out), key.n, key.m, key.ldc));
}

/// Which of GELU's matrices a product computes and which is "auxiliary": before GELU, in either direction.
void GemmProblem::point(const Gemm& g, const void* vector) const {
    if (key_.bias || key_.sums) set(product_.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, vector);
    if (key_.gelu != GeluPart::none)
        set(product_.get(), CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, g.gelu.output ? g.c : g.gelu.input);
}

std::vector<cublasLtMatmulAlgo_t> GemmProblem::propose(const Gemm& g, const LtCall& call) const {
    // The library asks the pointers for their alignment; a bias that is not aligned is copied to where it is.
    const void* vector = g.bias ? g.bias : g.a_sums;
    point(g, alignment(vector) == kWidestAccess ? vector : nullptr);
    cublasLtMatmulPreference_t made = nullptr;
    check(cublas_lt().matmul_preference_create(&made), "say which algorithms will do");
    const std::unique_ptr<cublasLtMatmulPreferenceOpaque_t, DestroyDescriptor> preference(made);
    set(made, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(call.workspace_bytes));
    // Parts of a sum over k are added in f32 from the workspace, in order; not in place, where the order is luck.
    set(made, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
    set(made, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key_.align_b);
    set(made, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key_.align_a);
    set(made, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key_.align_c);
    set(made, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key_.align_c);
    cublasLtMatmulHeuristicResult_t results[kProposals] = {};
    int count = 0;
    const cublasStatus_t status = cublas_lt().matmul_algo_get_heuristic(
        call.handle, product_.get(), a_.get(), b_.get(), c_.get(), c_.get(), made, kProposals, results, &count);
    // Both are said of products that the library has no kernel for.
    if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE) return {};
    check(status, "find an algorithm");
    std::vector<cublasLtMatmulAlgo_t> algorithms;
    for (int i = 0; i < count; ++i)
        if (results[i].state == CUBLAS_STATUS_SUCCESS) algorithms.push_back(results[i].algo);
    return algorithms;
}

std::vector<cublasLtMatmulAlgo_t> GemmProblem::in_other_parts(const cublasLtMatmulAlgo_t& algorithm,
                                                              const LtCall& call) const {
    std::vector<cublasLtMatmulAlgo_t> others;
    const auto most = static_cast<int32_t>(most_parts(key_.m, key_.n, key_.k));
    for (int32_t parts = 1; parts <= most; ++parts) {
        if (parts == get<int32_t>(algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM)) continue;
        cublasLtMatmulAlgo_t other = algorithm;
        set(other, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, parts);
        set(other, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME,
            uint32_t{parts == 1 ? CUBLASLT_REDUCTION_SCHEME_NONE : CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
        if (accepts(other, call)) others.push_back(other);
    }
    return others;
}

bool GemmProblem::accepts(const cublasLtMatmulAlgo_t& algorithm, const LtCall& call) const {
    cublasLtMatmulHeuristicResult_t result{};
    return cublas_lt().matmul_algo_check(call.handle, product_.get(), a_.get(), b_.get(), c_.get(), c_.get(),
                                         &algorithm, &result) == CUBLAS_STATUS_SUCCESS &&
           result.workspaceSize <= static_cast<size_t>(call.workspace_bytes);
}

cublasStatus_t GemmProblem::run(const Gemm& g, const void* vector, void* d, const cublasLtMatmulAlgo_t& algorithm,
                                const LtCall& call) {
    point(g, vector);
    if (g.gelu.output) d = g.gelu.output;
    const float alpha = 1, beta = key_.accumulate ? 1 : 0;
    return cublas_lt().matmul(call.handle, product_.get(), &alpha, g.b, a_.get(), g.a, b_.get(), &beta, g.c, c_.get(),
                              d, c_.get(), &algorithm, call.workspace, static_cast<size_t>(call.workspace_bytes),
                              call.stream);
}

std::string name_of(const cublasLtMatmulAlgo_t& algorithm) {
    return fmt::format("algorithm {}, tile {}, stages {}, split-K {}", get<int32_t>(algorithm, CUBLASLT_ALGO_CONFIG_ID),
                       get<uint32_t>(algorithm, CUBLASLT_ALGO_CONFIG_TILE_ID),
                       get<uint32_t>(algorithm, CUBLASLT_ALGO_CONFIG_STAGES_ID),
                       get<int32_t>(algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM));
}

}  // namespace dropforge::kernels::on_cuda
