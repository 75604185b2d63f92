// Which algorithm makes which product, for one context.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/context.h"
#include "kernels/cuda/gemm_cache.h"
#include "kernels/cuda/gemm_problem.h"

namespace dropforge::kernels::on_cuda {

/// A product of a new shape chooses its algorithm by timing the library's proposals, unless the cache file has the
/// choice of an earlier run. That cannot be done while calls are recorded: then a new shape is an Error, since what
/// is recorded runs ten thousand times.
class GemmPlans {
  public:
    explicit GemmPlans(CudaContext& context);

    void run(const Gemm& g);
    std::vector<KernelChoice> choices() const;
    std::vector<std::string> take_notes() { return std::exchange(notes_, {}); }

  private:
    struct Plan {
        std::unique_ptr<GemmProblem> problem;  // nullptr: by kernels of our own; with sums, the product apart from them
        cublasLtMatmulAlgo_t algorithm{};
        DType bias = DType::f32;
        KernelChoice choice;
    };
    struct DestroyHandle {
        void operator()(cublasLtContext* handle) const noexcept { cublas_lt().destroy(handle); }
    };
    Plan& plan_of(const GemmKey& key, const Gemm& g);
    Plan make(const GemmKey& key, const Gemm& g);
    void choose(Plan& plan, const std::string& product, const std::vector<cublasLtMatmulAlgo_t>& proposals,
                const Gemm& g);
    void sums_apart(Plan& plan, const std::string& reason);
    double time_apart(const Gemm& g, void* place);
    double time_of(Plan& plan, const cublasLtMatmulAlgo_t& algorithm, const Gemm& g, const void* vector, void* d);
    /// Microseconds of a run that is queued by `run`; infinite if it fails.
    template <typename F>
    double time_of(F&& run);
    void book_bias(int64_t bytes);
    const void* prepared_vector(const Plan& plan, const Gemm& g);
    LtCall call() const;

    CudaContext& context_;
    std::unique_ptr<cublasLtContext, DestroyHandle> handle_;
    int64_t version_;
    GemmCache stored_;
    std::vector<std::string> notes_;  // about the file of choices
    bool stores_ = true;              // false once it could not be written
    std::map<GemmKey, Plan> plans_;
    std::vector<DeviceMemory> bias_;  // the last is in use; recordings may hold on to the smaller ones before
    int64_t bias_bytes_ = 0;
    Event begin_, end_;
};

}  // namespace dropforge::kernels::on_cuda
