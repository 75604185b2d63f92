// The choice of an algorithm for each GEMM of a context.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/gemm/gelu_library.h"
#include "kernels/cuda/gemm/gemm_cache.h"
#include "kernels/cuda/gemm/gemm_problem.h"
#include "kernels/cuda/runtime/context.h"

namespace dropforge::kernels::on_cuda {

/// Stored in place of an algorithm: the GEMM without epilogue, then bias gradient or GELU by our own kernels.
constexpr decltype(StoredAlgorithm::words) kUnfused{};
cublasLtMatmulAlgo_t restored(const StoredAlgorithm& stored);
StoredAlgorithm to_store(const cublasLtMatmulAlgo_t& algorithm, double microseconds = 0);

/// Chooses an algorithm for each new shape by timing the library's proposals, unless the cache file has the choice of
/// an earlier run. Timing is impossible while a CUDA graph is recorded, so a new shape is an Error then.
class GemmPlans final : public KernelSelector {
  public:
    /// Opens the library for GELU epilogues, at the first GEMM that could use it; nullptr with the reason if there is
    /// none.
    using OpenGelu = std::function<std::unique_ptr<GeluLibrary>(CudaContext&, std::string& why_not)>;

    GemmPlans(CudaContext& context, OpenGelu open_gelu);

    void run(const Gemm& g);
    std::vector<KernelChoice> choices() const override;
    std::vector<std::string> take_notes() override { return std::exchange(notes_, {}); }

  private:
    /// What serves a key: cuBLASLt (`problem`), another library's kernel (`with_gelu`), or, with neither, our own
    /// kernels; then bias gradient and GELU are kernels after the GEMM.
    struct Plan {
        std::unique_ptr<GemmProblem> problem;
        cublasLtMatmulAlgo_t algorithm{};
        DType bias = DType::f32;
        std::unique_ptr<GeluKernel> with_gelu;
        StoredAlgorithm stored;
        KernelChoice choice;
    };
    struct DestroyHandle {
        void operator()(cublasLtContext* handle) const noexcept { cublas_lt().destroy(handle); }
    };
    Plan& plan_of(const GemmKey& key, const Gemm& g);
    Plan make(const GemmKey& key, const Gemm& g);
    std::vector<cublasLtMatmulAlgo_t> propose(Plan& plan, const GemmKey& key, const Gemm& g);
    void choose(Plan& plan, const std::string& key, const std::vector<cublasLtMatmulAlgo_t>& proposals, const Gemm& g);
    void use_column_sum(Plan& plan, const std::string& reason);
    /// Microseconds of the bias gradient by column_sum and the GEMM without it, by the algorithm chosen for that.
    double time_unfused(const Gemm& g, void* place);
    /// Microseconds of what `run` queues; infinite if it fails.
    double time_of(const std::function<cublasStatus_t()>& run);
    /// Queues the library's kernel, then the move of a bias gradient that it had to leave in the scratch.
    cublasStatus_t queue(Plan& plan, const Gemm& g);
    void keep(const std::string& key, const StoredAlgorithm& algorithm);
    void book_bias(int64_t bytes);
    const void* prepared_vector(const Plan& plan, const Gemm& g);
    LtCall call() const;

    // gemm_plans_gelu.cpp
    struct GeluTrial;
    Plan make_with_gelu(const GemmKey& key, const Gemm& g);
    std::string try_libraries(Plan& plan, const GemmKey& key, const Gemm& g);
    std::vector<Plan> gelu_candidates(const GemmKey& key, const Gemm& g, std::string& why_not);
    static Plan by_cublaslt(const GemmKey& key, const Plan& like, const cublasLtMatmulAlgo_t& algorithm);
    static Plan by_library(GeluLibrary& library, const GemmKey& key, int64_t n, std::string& why_not);
    bool restore(Plan& plan, const StoredAlgorithm& stored, const GemmKey& key, const Gemm& g);
    GeluLibrary* gelu_library(std::string& why_not);
    /// What is wrong with the candidate's results; empty: nothing.
    std::string trouble_of(Plan& candidate, const GeluTrial& trial);
    void run_unfused_gelu(const Gemm& g);

    CudaContext& context_;
    std::unique_ptr<cublasLtContext, DestroyHandle> handle_;
    int64_t version_;
    GemmCache stored_;
    std::vector<std::string> notes_;  // about the cache file, and kernels with wrong results
    bool stores_ = true;              // false once the cache file could not be written
    OpenGelu open_gelu_;
    std::unique_ptr<GeluLibrary> gelu_library_;
    std::string why_no_gelu_;
    std::map<GemmKey, Plan> plans_;
    std::vector<DeviceMemory> bias_;  // the last is in use; recordings may hold on to the smaller ones before
    int64_t bias_bytes_ = 0;
    Event begin_, end_;
};

}  // namespace dropforge::kernels::on_cuda
