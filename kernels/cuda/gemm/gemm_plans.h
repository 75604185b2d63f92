// Which algorithm makes which product, for one context.
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

/// In place of an algorithm: the product alone, and what was asked for beside it by kernels of our own.
constexpr decltype(StoredAlgorithm::words) kApart{};
cublasLtMatmulAlgo_t restored(const StoredAlgorithm& stored);
StoredAlgorithm to_store(const cublasLtMatmulAlgo_t& algorithm, double microseconds = 0);

/// A product of a new shape chooses its algorithm by timing the library's proposals, unless the cache file has the
/// choice of an earlier run. That cannot be done while calls are recorded: then a new shape is an Error, since what
/// is recorded runs ten thousand times.
class GemmPlans final : public KernelSelector {
  public:
    /// nullptr and why not if there is none. It is called at the first product with GELU that a library may serve.
    using OpenGelu = std::function<std::unique_ptr<GeluLibrary>(CudaContext&, std::string& why_not)>;

    GemmPlans(CudaContext& context, OpenGelu open_gelu);

    void run(const Gemm& g);
    std::vector<KernelChoice> choices() const override;
    std::vector<std::string> take_notes() override { return std::exchange(notes_, {}); }

  private:
    /// By cuBLASLt, by another library's kernel with GELU, or, with neither, by kernels of our own: with sums or GELU
    /// asked for, the product apart from them.
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
    void choose(Plan& plan, const std::string& product, const std::vector<cublasLtMatmulAlgo_t>& proposals,
                const Gemm& g);
    void sums_apart(Plan& plan, const std::string& reason);
    double time_apart(const Gemm& g, void* place);
    /// Microseconds of a run that is queued by `run`; infinite if it fails.
    double time_of(const std::function<cublasStatus_t()>& run);
    /// A library's kernel; then its sums go from the scratch to where they belong, if that was no place for it.
    cublasStatus_t queue(Plan& plan, const Gemm& g);
    void keep(const std::string& product, const StoredAlgorithm& algorithm);
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
    /// What is wrong with what the candidate makes, or nothing.
    std::string trouble_of(Plan& candidate, const GeluTrial& trial);
    void gelu_apart(const Gemm& g);

    CudaContext& context_;
    std::unique_ptr<cublasLtContext, DestroyHandle> handle_;
    int64_t version_;
    GemmCache stored_;
    std::vector<std::string> notes_;  // about the file of choices, and kernels that are wrong
    bool stores_ = true;              // false once it could not be written
    OpenGelu open_gelu_;
    std::unique_ptr<GeluLibrary> gelu_library_;
    std::string why_no_gelu_;
    std::map<GemmKey, Plan> plans_;
    std::vector<DeviceMemory> bias_;  // the last is in use; recordings may hold on to the smaller ones before
    int64_t bias_bytes_ = 0;
    Event begin_, end_;
};

}  // namespace dropforge::kernels::on_cuda
