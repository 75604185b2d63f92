// One product as cuBLASLt sees it: descriptors of a shape, the algorithms it proposes, and a call.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/libraries/cublas_lt.h"
#include "kernels/kernels.h"

namespace dropforge::kernels::on_cuda {

/// What a product has of GELU beside it: Gemm::gelu.
enum class GeluPart : uint8_t { none, output, slope };

/// What an algorithm depends on: the operands' sizes, types, layout, and the alignment of their pointers in bytes (at
/// most 16, the widest access; with GELU, that of c is of its matrix and the bias too).
struct GemmKey {
    explicit GemmKey(const Gemm& g, bool tf32);
    auto operator<=>(const GemmKey&) const = default;  // NOLINT(modernize-use-nullptr): clang-tidy 14 misreads it

    int64_t m, n, k, lda, ldb, ldc;
    uint32_t align_a, align_b, align_c;
    bool transpose_a, transpose_b, accumulate, bias, sums, tf32;
    DType dtype, out;
    GeluPart gelu;
    Gelu form;
};
/// "bf16 128x768x3072 NT +bias ld 3072 3072 768 align 16 16 16": one word after the other, the same for equal keys
/// only.
std::string text(const GemmKey& key);

struct DestroyDescriptor {
    void operator()(cublasLtMatmulDescOpaque_t* d) const noexcept { cublas_lt().matmul_desc_destroy(d); }
    void operator()(cublasLtMatrixLayoutOpaque_t* d) const noexcept { cublas_lt().matrix_layout_destroy(d); }
    void operator()(cublasLtMatmulPreferenceOpaque_t* d) const noexcept { cublas_lt().matmul_preference_destroy(d); }
};

/// The library's stream-ordered surroundings of a call.
struct LtCall {
    cublasLtHandle_t handle;
    cudaStream_t stream;
    void* workspace;
    int64_t workspace_bytes;
};

/// The matrices are row-major and cuBLASLt's are column-major, so it makes cᵀ = op(b)ᵀ·op(a)ᵀ: its A is our b.
class GemmProblem {
  public:
    /// `bias`: the type of the bias vector (ignored without one).
    GemmProblem(const GemmKey& key, DType bias);

    /// The library's proposals for g, which has the key, the most promising first; none if it cannot make this product.
    /// Only algorithms whose sums have a fixed order, in f32.
    std::vector<cublasLtMatmulAlgo_t> propose(const Gemm& g, const LtCall& call) const;
    /// An algorithm with the sum over k cut into other numbers of parts (gemm_parts.h) that the library accepts: it
    /// proposes few, and a weight gradient wants one that leaves no multiprocessor idle at the end.
    std::vector<cublasLtMatmulAlgo_t> in_other_parts(const cublasLtMatmulAlgo_t& algorithm, const LtCall& call) const;
    /// Whether an algorithm that was chosen earlier can make this product.
    bool accepts(const cublasLtMatmulAlgo_t& algorithm, const LtCall& call) const;
    /// Queues d = [c +] op(a)·op(b) + bias; d has the layout of c, and may be c itself. `vector` is the bias, or where
    /// the sums of a go. With GELU's output d is c.
    cublasStatus_t run(const Gemm& g, const void* vector, void* d, const cublasLtMatmulAlgo_t& algorithm,
                       const LtCall& call);

  private:
    void point(const Gemm& g, const void* vector) const;

    GemmKey key_;
    std::unique_ptr<cublasLtMatmulDescOpaque_t, DestroyDescriptor> product_;
    std::unique_ptr<cublasLtMatrixLayoutOpaque_t, DestroyDescriptor> a_, b_, c_;
};

/// "algorithm 66, tile 20, stages 35, split-K 1", by the library's numbers.
std::string name_of(const cublasLtMatmulAlgo_t& algorithm);

}  // namespace dropforge::kernels::on_cuda
