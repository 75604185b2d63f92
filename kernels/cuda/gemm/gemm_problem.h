// One GEMM as cuBLASLt sees it: descriptors of a shape, the algorithms it proposes, and a call.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/libraries/cublas_lt.h"
#include "kernels/kernels.h"

namespace dropforge::kernels::on_cuda {

/// The epilogue that Gemm::gelu asks for: none, GELU's output, or a multiplication by GELU's slope.
enum class GeluEpilogue : uint8_t { none, output, slope };

/// What the choice of an algorithm depends on: sizes, types and layout of the operands, and the alignment of their
/// pointers in bytes, at most 16, the widest access. With GELU, `align_c` also covers GELU's matrix and the bias.
struct GemmKey {
    explicit GemmKey(const Gemm& g, bool tf32);
    auto operator<=>(const GemmKey&) const = default;  // NOLINT(modernize-use-nullptr): clang-tidy 14 misreads it

    int64_t m, n, k, lda, ldb, ldc;
    uint32_t align_a, align_b, align_c;
    bool transpose_a, transpose_b, accumulate, bias, bias_gradient, tf32;
    DType dtype, out;
    GeluEpilogue gelu;
    Gelu form;
};
/// The key as words: "bf16 128x768x3072 NT +bias ld 3072 3072 768 align 16 16 16". Different keys have different texts.
std::string text(const GemmKey& key);

struct DestroyDescriptor {
    void operator()(cublasLtMatmulDescOpaque_t* d) const noexcept { cublas_lt().matmul_desc_destroy(d); }
    void operator()(cublasLtMatrixLayoutOpaque_t* d) const noexcept { cublas_lt().matrix_layout_destroy(d); }
    void operator()(cublasLtMatmulPreferenceOpaque_t* d) const noexcept { cublas_lt().matmul_preference_destroy(d); }
};

/// What a cuBLASLt call needs beside its operands: handle, stream, workspace.
struct LtCall {
    cublasLtHandle_t handle;
    cudaStream_t stream;
    void* workspace;
    int64_t workspace_bytes;
};

/// The matrices are row-major and cuBLASLt's are column-major, so it makes cᵀ = op(b)ᵀ·op(a)ᵀ: its A is our b.
class GemmProblem {
  public:
    /// Describes the GEMM of `key`. `bias` is the type of the bias vector, ignored without one.
    GemmProblem(const GemmKey& key, DType bias);

    /// cuBLASLt's heuristic for g, which has the key: the most promising algorithm first; none if it does not support
    /// this GEMM. Only deterministic algorithms that accumulate in f32.
    std::vector<cublasLtMatmulAlgo_t> propose(const Gemm& g, const LtCall& call) const;
    /// The algorithm with every other split-K factor (gemm_split_k.h) that cuBLASLt accepts. Its heuristic proposes
    /// few, and a weight gradient wants one that leaves no SM idle at the end.
    std::vector<cublasLtMatmulAlgo_t> with_other_split_k(const cublasLtMatmulAlgo_t& algorithm,
                                                         const LtCall& call) const;
    /// Whether an algorithm that was chosen earlier supports this GEMM.
    bool accepts(const cublasLtMatmulAlgo_t& algorithm, const LtCall& call) const;
    /// Queues d = [c +] op(a)·op(b) + bias; d has the layout of c, and may be c itself. `vector` is the bias, or the
    /// place of the bias gradient. With GELU's output d is c.
    cublasStatus_t run(const Gemm& g, const void* vector, void* d, const cublasLtMatmulAlgo_t& algorithm,
                       const LtCall& call);

  private:
    void point(const Gemm& g, const void* vector) const;

    GemmKey key_;
    std::unique_ptr<cublasLtMatmulDescOpaque_t, DestroyDescriptor> matmul_;
    std::unique_ptr<cublasLtMatrixLayoutOpaque_t, DestroyDescriptor> a_, b_, c_;
};

/// "algorithm 66, tile 20, stages 35, split-K 1", by the library's numbers.
std::string name_of(const cublasLtMatmulAlgo_t& algorithm);

}  // namespace dropforge::kernels::on_cuda
