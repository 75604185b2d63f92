// A mock of cuBLASLt: GEMMs by plain loops from the descriptors that the backend makes. It checks what the library
// does: sizes that fit, the promised alignment of operands, a bias in the output's type.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/cuda/emulator/mock_cublaslt.h"
#include "kernels/cuda/emulator/mock_runtime.h"
#include "kernels/cuda/emulator/simt.h"
#include "kernels/cuda/libraries/cublas_lt.h"

namespace dropforge::simt {

namespace {

struct Layout {
    cudaDataType_t type;
    int64_t rows, columns, ld;  // column-major

    bool holds(int64_t r, int64_t c) const { return rows == r && columns == c && ld >= r; }
    size_t at(int64_t row, int64_t column) const { return static_cast<size_t>(column * ld + row); }
};

struct Matmul {
    bool tf32 = false;
    bool transpose_a = false, transpose_b = false;
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    void* vector = nullptr;  // the bias, or the place of the bias gradient
    int32_t bias_type = -1;
    void* auxiliary = nullptr;  // the matrix before GELU: written by the forward epilogue, read by the slope's
    int64_t auxiliary_ld = 0;

    bool is(cublasLtEpilogue_t e) const { return epilogue == e; }
    bool adds_bias() const { return is(CUBLASLT_EPILOGUE_BIAS) || is(CUBLASLT_EPILOGUE_GELU_AUX_BIAS); }
    bool makes_gelu() const { return is(CUBLASLT_EPILOGUE_GELU_AUX) || is(CUBLASLT_EPILOGUE_GELU_AUX_BIAS); }
    bool has_vector() const { return adds_bias() || is(CUBLASLT_EPILOGUE_BGRADB); }
    bool has_gelu() const { return makes_gelu() || is(CUBLASLT_EPILOGUE_DGELU); }
};

struct Preference {
    uint64_t workspace = 0;
    uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_MASK;
    uint32_t align[4] = {256, 256, 256, 256};  // A, B, C, D
};

struct Algorithm {
    uint64_t magic, number;
    int32_t split_k;
    uint32_t reduction;
};
constexpr uint64_t kMagic = 0x64726f70666f7267;
/// Milliseconds of a GEMM by the algorithms in the order of proposal: the second is the fastest, with split-K 3 faster
/// still.
constexpr double kCost[] = {3, 1, 2};
double cost_of(const Algorithm& a) { return kCost[a.number] * (a.split_k == 1 ? 1 : a.split_k == 3 ? 0.5 : 0.75); }
/// Bytes of the partial sums of split-K.
uint64_t workspace_of(const Algorithm& a, const Layout& d) {
    return a.split_k == 1 ? 0 : 4 * static_cast<uint64_t>(a.split_k * d.rows * d.columns);
}

size_t bytes_of(cudaDataType_t type) { return type == CUDA_R_32F ? 4 : 2; }

float read(const void* p, cudaDataType_t type, size_t i) {
    switch (type) {
        case CUDA_R_16BF:
            return __bfloat162float(static_cast<const __nv_bfloat16*>(p)[i]);
        case CUDA_R_16F:
            return __half2float(static_cast<const __half*>(p)[i]);
        default:
            return static_cast<const float*>(p)[i];
    }
}
void write(void* p, cudaDataType_t type, size_t i, float value) {
    switch (type) {
        case CUDA_R_16BF:
            static_cast<__nv_bfloat16*>(p)[i] = __float2bfloat16_rn(value);
            break;
        case CUDA_R_16F:
            static_cast<__half*>(p)[i] = __float2half_rn(value);
            break;
        default:
            static_cast<float*>(p)[i] = value;
    }
}

Layout& layout_of(cublasLtMatrixLayout_t l) { return *reinterpret_cast<Layout*>(l); }
Matmul& matmul_of(cublasLtMatmulDesc_t d) { return *reinterpret_cast<Matmul*>(d); }

/// Success if the matrices fit each other and have types that the library supports.
cublasStatus_t check(const Matmul& p, const Layout& a, const Layout& b, const Layout& c, const Layout& d) {
    const int64_t m = d.rows, n = d.columns, k = p.transpose_a ? a.rows : a.columns;
    const bool sizes = m > 0 && n > 0 && k > 0 && a.holds(p.transpose_a ? k : m, p.transpose_a ? m : k) &&
                       b.holds(p.transpose_b ? n : k, p.transpose_b ? k : n) && c.holds(m, n) && d.holds(m, n);
    if (!sizes || a.type != b.type || c.type != d.type) return CUBLAS_STATUS_INVALID_VALUE;
    if (d.type != CUDA_R_32F && d.type != a.type) return CUBLAS_STATUS_NOT_SUPPORTED;
    constexpr int64_t kAuxiliaryVector = 8;
    const bool vector =
        !p.has_vector() || (p.is(CUBLASLT_EPILOGUE_BGRADB) ? p.bias_type == CUDA_R_32F && d.type == CUDA_R_32F
                                                           : p.bias_type == -1 || p.bias_type == d.type);
    const bool gelu = !p.has_gelu() || (p.auxiliary_ld >= m && p.auxiliary_ld % kAuxiliaryVector == 0);
    const bool known = p.is(CUBLASLT_EPILOGUE_DEFAULT) || p.has_vector() || p.has_gelu();
    return known && vector && gelu ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

/// op(x) as rows of f32, the sum's index innermost.
std::vector<float> rows_of(const void* x, const Layout& layout, bool k_is_row) {
    const int64_t rows = k_is_row ? layout.columns : layout.rows, k = k_is_row ? layout.rows : layout.columns;
    std::vector<float> values(static_cast<size_t>(rows * k));
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t l = 0; l < k; ++l)
            values[static_cast<size_t>(r * k + l)] = read(x, layout.type, k_is_row ? layout.at(l, r) : layout.at(r, l));
    return values;
}

struct Operands {
    const void *a, *b, *c;
    void* d;
    float alpha, beta;
};

/// Rounds to nearest, to 10 bits of fraction.
void round_to_tf32(std::vector<float>& values) {
    for (float& x : values) x = std::bit_cast<float>((std::bit_cast<uint32_t>(x) + 0x1000u) & ~0x1fffu);
}

/// GELU in the form with tanh, and its slope.
float gelu(float x) { return 0.5f * x * (1 + std::tanh(0.79788456f * (x + 0.044715f * x * x * x))); }
float gelu_slope(float x) {
    const float t = std::tanh(0.79788456f * (x + 0.044715f * x * x * x));
    return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * 0.79788456f * (1 + 3 * 0.044715f * x * x);
}

/// Applies the epilogue to element [i,j].
float epilogue_of_element(const Matmul& p, cudaDataType_t type, float sum, int64_t i, int64_t j) {
    const auto at = static_cast<size_t>(j * p.auxiliary_ld + i);
    if (p.adds_bias()) sum += read(p.vector, type, static_cast<size_t>(i));
    if (p.is(CUBLASLT_EPILOGUE_DGELU)) return sum * gelu_slope(read(p.auxiliary, type, at));
    if (!p.makes_gelu()) return sum;
    write(p.auxiliary, type, at, sum);
    return gelu(sum);
}

/// GEMMs of more multiplications are skipped: they measure a device's peak rate, and would take a plain loop minutes.
constexpr double kBeyondLoops = 1e10;

/// Σ x·y in `split_k` partial sums, which are added up in order.
float sum_of(const float* x, const float* y, size_t k, size_t split_k) {
    float total = 0;
    for (size_t slice = 0; slice < split_k; ++slice) {
        float sum = 0;
        for (size_t l = k * slice / split_k; l < k * (slice + 1) / split_k; ++l) sum += x[l] * y[l];
        total += sum;
    }
    return total;
}

void multiply(const Matmul& p, int32_t split_k, const Operands& o, const Layout& la, const Layout& lb, const Layout& lc,
              const Layout& ld) {
    const auto k = static_cast<size_t>(p.transpose_a ? la.rows : la.columns);
    if (static_cast<double>(ld.columns * ld.rows) * static_cast<double>(k) > kBeyondLoops) return;
    std::vector<float> a = rows_of(o.a, la, p.transpose_a), b = rows_of(o.b, lb, !p.transpose_b);
    if (p.tf32) {
        round_to_tf32(a);
        round_to_tf32(b);
    }
    for (int64_t j = 0; j < ld.columns; ++j) {
        if (p.is(CUBLASLT_EPILOGUE_BGRADB)) {
            float sum = 0;
            for (size_t l = 0; l < k; ++l) sum += b[static_cast<size_t>(j) * k + l];
            static_cast<float*>(p.vector)[j] = sum;
        }
        for (int64_t i = 0; i < ld.rows; ++i) {
            const float *x = &a[static_cast<size_t>(i) * k], *y = &b[static_cast<size_t>(j) * k];
            float sum = sum_of(x, y, k, static_cast<size_t>(split_k));
            sum = epilogue_of_element(p, ld.type, sum * o.alpha, i, j);
            if (o.beta != 0) sum += o.beta * read(o.c, lc.type, lc.at(i, j));
            write(o.d, ld.type, ld.at(i, j), sum);
        }
    }
}

/// Declares the results as written to an observer of kernels.
void declare_results(const Matmul& p, const void* d, const Layout& layout) {
    const size_t column = static_cast<size_t>(layout.rows) * bytes_of(layout.type);
    const auto at = [&](const void* matrix, int64_t ld, int64_t j) {
        return static_cast<const char*>(matrix) + static_cast<size_t>(ld * j) * bytes_of(layout.type);
    };
    for (int64_t j = 0; j < layout.columns; ++j) {
        declare_written(at(d, layout.ld, j), column);
        if (p.makes_gelu()) declare_written(at(p.auxiliary, p.auxiliary_ld, j), column);
    }
    if (p.is(CUBLASLT_EPILOGUE_BGRADB)) declare_written(p.vector, static_cast<size_t>(layout.columns) * sizeof(float));
}

template <typename T>
cublasStatus_t create(T** handle, auto value) {
    *handle = reinterpret_cast<T*>(new auto(value));
    return CUBLAS_STATUS_SUCCESS;
}
template <typename Value, typename T>
cublasStatus_t destroy(T* handle) {
    delete reinterpret_cast<Value*>(handle);
    return CUBLAS_STATUS_SUCCESS;
}
template <typename T>
cublasStatus_t assign(T& to, const void* from, size_t bytes) {
    if (bytes != sizeof to) return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(&to, from, bytes);
    return CUBLAS_STATUS_SUCCESS;
}
bool aligned(const void* p, uintptr_t bytes) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; }

cublasStatus_t set_product(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t which, const void* value,
                           size_t bytes) {
    Matmul& p = matmul_of(desc);
    int32_t operation = 0;
    cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
    switch (which) {
        case CUBLASLT_MATMUL_DESC_TRANSA:
            status = assign(operation, value, bytes);
            p.transpose_a = operation != CUBLAS_OP_N;
            return status;
        case CUBLASLT_MATMUL_DESC_TRANSB:
            status = assign(operation, value, bytes);
            p.transpose_b = operation != CUBLAS_OP_N;
            return status;
        case CUBLASLT_MATMUL_DESC_EPILOGUE:
            return assign(p.epilogue, value, bytes);
        case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
            return assign(p.vector, value, bytes);
        case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
            return assign(p.bias_type, value, bytes);
        case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
            return assign(p.auxiliary, value, bytes);
        case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
            return assign(p.auxiliary_ld, value, bytes);
        default:
            return CUBLAS_STATUS_INVALID_VALUE;
    }
}

cublasStatus_t set_preference(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t which,
                              const void* value, size_t bytes) {
    auto& p = *reinterpret_cast<Preference*>(preference);
    switch (which) {
        case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
            return assign(p.workspace, value, bytes);
        case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
            return assign(p.reduction, value, bytes);
        case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
        case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
        case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
        case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
            return assign(p.align[which - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value, bytes);
        default:
            return CUBLAS_STATUS_INVALID_VALUE;
    }
}

/// Requires pairs of 16-bit elements, as an example of a shape that the library does not support.
bool in_words(const Layout& layout, uint32_t align) {
    return align % 4 == 0 && static_cast<size_t>(layout.ld) * bytes_of(layout.type) % 4 == 0;
}

cublasStatus_t propose(cublasLtHandle_t, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t preference,
                       int wanted, cublasLtMatmulHeuristicResult_t results[], int* count) {
    *count = 0;
    const auto& p = *reinterpret_cast<Preference*>(preference);
    const cublasStatus_t status = check(matmul_of(desc), layout_of(a), layout_of(b), layout_of(c), layout_of(d));
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    const cublasLtMatrixLayout_t layouts[] = {a, b, c, d};
    for (int i = 0; i < 4; ++i)
        if (!in_words(layout_of(layouts[i]), p.align[i])) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (p.workspace == 0 || p.reduction != CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE) return CUBLAS_STATUS_NOT_SUPPORTED;
    for (; *count < std::min(wanted, static_cast<int>(std::size(kCost))); ++*count) {
        results[*count] = {};
        const Algorithm algorithm{kMagic, static_cast<uint64_t>(*count), 1, CUBLASLT_REDUCTION_SCHEME_NONE};
        std::memcpy(&results[*count].algo, &algorithm, sizeof algorithm);
        results[*count].state = CUBLAS_STATUS_SUCCESS;
    }
    return CUBLAS_STATUS_SUCCESS;
}

Algorithm algorithm_of(const cublasLtMatmulAlgo_t* algo) {
    Algorithm algorithm{};
    std::memcpy(&algorithm, algo, sizeof algorithm);
    return algorithm;
}
bool known(const Algorithm& a) {
    const uint32_t reduction = a.split_k == 1 ? CUBLASLT_REDUCTION_SCHEME_NONE : CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    return a.magic == kMagic && a.number < std::size(kCost) && a.split_k > 0 && a.reduction == reduction;
}

cublasStatus_t algorithm_check(cublasLtHandle_t, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
                               cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                               const cublasLtMatmulAlgo_t* algo, cublasLtMatmulHeuristicResult_t* result) {
    if (!known(algorithm_of(algo))) return CUBLAS_STATUS_INVALID_VALUE;
    *result = {};
    result->workspaceSize = workspace_of(algorithm_of(algo), layout_of(d));
    return check(matmul_of(desc), layout_of(a), layout_of(b), layout_of(c), layout_of(d));
}

cublasStatus_t algorithm_attribute(const cublasLtMatmulAlgo_t* algo, cublasLtMatmulAlgoConfigAttributes_t which,
                                   void* value, size_t bytes, size_t* written) {
    const int32_t number = which == CUBLASLT_ALGO_CONFIG_ID           ? static_cast<int32_t>(algorithm_of(algo).number)
                           : which == CUBLASLT_ALGO_CONFIG_SPLITK_NUM ? algorithm_of(algo).split_k
                                                                      : 0;
    if (bytes != sizeof number) return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(value, &number, bytes);
    *written = bytes;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t set_algorithm(cublasLtMatmulAlgo_t* algo, cublasLtMatmulAlgoConfigAttributes_t which, const void* value,
                             size_t bytes) {
    Algorithm algorithm = algorithm_of(algo);
    const cublasStatus_t status = which == CUBLASLT_ALGO_CONFIG_SPLITK_NUM ? assign(algorithm.split_k, value, bytes)
                                  : which == CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME
                                      ? assign(algorithm.reduction, value, bytes)
                                      : CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(algo, &algorithm, sizeof algorithm);
    return status;
}

cublasStatus_t run(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void* alpha, const void* a,
                   cublasLtMatrixLayout_t la, const void* b, cublasLtMatrixLayout_t lb, const void* beta, const void* c,
                   cublasLtMatrixLayout_t lc, void* d, cublasLtMatrixLayout_t ld, const cublasLtMatmulAlgo_t* algo,
                   void* workspace, size_t workspace_bytes, cudaStream_t stream) {
    const Matmul p = matmul_of(desc);
    const Algorithm algorithm = algorithm_of(algo);
    const Operands o{a, b, c, d, *static_cast<const float*>(alpha), *static_cast<const float*>(beta)};
    const cublasStatus_t status = check(p, layout_of(la), layout_of(lb), layout_of(lc), layout_of(ld));
    if (status != CUBLAS_STATUS_SUCCESS) return status;
    const bool sums = p.is(CUBLASLT_EPILOGUE_BGRADB);
    const auto unfit = [](const void* x) { return x == nullptr || !aligned(x, 16); };
    if (!known(algorithm) || !aligned(workspace, 16) || (p.has_vector() && unfit(p.vector)) ||
        (p.has_gelu() && (unfit(p.auxiliary) || o.beta != 0)) ||
        workspace_of(algorithm, layout_of(ld)) > workspace_bytes)
        return CUBLAS_STATUS_INVALID_VALUE;
    for (const void* operand : {a, b, c, static_cast<const void*>(d)})
        if (!aligned(operand, 4)) return CUBLAS_STATUS_INVALID_VALUE;
    if (machine().lost != cudaSuccess) return CUBLAS_STATUS_EXECUTION_FAILED;
    enqueue(stream, [=, la = layout_of(la), lb = layout_of(lb), lc = layout_of(lc), ld = layout_of(ld)] {
        multiply(p, algorithm.split_k, o, la, lb, lc, ld);
        declare_results(p, o.d, ld);
        machine().clock += cost_of(algorithm) + (sums || p.has_gelu() ? machine().epilogue_milliseconds : 0);
        ++cublaslt_runs();
    });
    return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

int64_t& cublaslt_runs() {
    static int64_t runs = 0;
    return runs;
}

}  // namespace dropforge::simt

namespace dropforge::kernels::on_cuda {

const CublasLt& cublas_lt() {
    using namespace simt;
    static const CublasLt functions{
        .get_version = [] { return size_t{CUBLAS_VERSION}; },
        .get_status_string = [](cublasStatus_t status) { return status == CUBLAS_STATUS_SUCCESS ? "ok" : "refused"; },
        .create = [](cublasLtHandle_t* handle) { return create(handle, 0); },
        .destroy = [](cublasLtHandle_t handle) { return destroy<int>(handle); },
        .matmul_desc_create =
            [](cublasLtMatmulDesc_t* desc, cublasComputeType_t compute, cudaDataType_t) {
                return create(desc, Matmul{.tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32});
            },
        .matmul_desc_destroy = [](cublasLtMatmulDesc_t desc) { return destroy<Matmul>(desc); },
        .matmul_desc_set_attribute = set_product,
        .matrix_layout_create =
            [](cublasLtMatrixLayout_t* layout, cudaDataType type, uint64_t rows, uint64_t columns, int64_t ld) {
                return create(layout, Layout{type, static_cast<int64_t>(rows), static_cast<int64_t>(columns), ld});
            },
        .matrix_layout_destroy = [](cublasLtMatrixLayout_t layout) { return destroy<Layout>(layout); },
        .matmul_preference_create = [](cublasLtMatmulPreference_t* p) { return create(p, Preference{}); },
        .matmul_preference_destroy = [](cublasLtMatmulPreference_t p) { return destroy<Preference>(p); },
        .matmul_preference_set_attribute = set_preference,
        .matmul_algo_get_heuristic = propose,
        .matmul_algo_check = algorithm_check,
        .matmul_algo_config_get_attribute = algorithm_attribute,
        .matmul_algo_config_set_attribute = set_algorithm,
        .matmul = run,
    };
    return functions;
}

}  // namespace dropforge::kernels::on_cuda
