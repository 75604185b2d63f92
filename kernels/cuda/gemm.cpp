// The matrix product: cuBLASLt by the algorithm that is the fastest here, or a kernel of our own.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "base/error.h"
#include "kernels/cuda/functions.h"
#include "kernels/cuda/gemm_plans.h"

namespace dropforge::kernels::on_cuda {

namespace {

/// Enough for a ranking: what differs by less than runs vary does not matter.
constexpr int kTimedRuns = 5;
constexpr int64_t kBiasUnit = 64 << 10;
constexpr uintptr_t kBiasAlignment = 16;

static_assert(sizeof(cublasLtMatmulAlgo_t) == sizeof(StoredAlgorithm::words));

cublasLtMatmulAlgo_t restored(const StoredAlgorithm& stored) {
    cublasLtMatmulAlgo_t algorithm{};
    std::memcpy(&algorithm, stored.words.data(), sizeof algorithm);
    return algorithm;
}
StoredAlgorithm to_store(const cublasLtMatmulAlgo_t& algorithm, double microseconds) {
    StoredAlgorithm stored;
    std::memcpy(stored.words.data(), &algorithm, sizeof algorithm);
    stored.microseconds = microseconds;
    return stored;
}

cublasLtHandle_t make_handle() {
    cublasLtHandle_t handle = nullptr;
    check(cublas_lt().create(&handle), "start");
    return handle;
}

/// A place for a product that is only measured; nullptr if there is no memory left for it.
DeviceMemory place_for(const Gemm& g) {
    const auto elements = static_cast<size_t>((g.m - 1) * g.ldc + g.n);
    void* memory = nullptr;
    if (cudaMalloc(&memory, elements * size_of(g.out)) == cudaSuccess) return DeviceMemory(memory);
    cudaGetLastError();
    return {};
}

}  // namespace

GemmPlans::GemmPlans(CudaContext& context)
    : context_(context),
      handle_(make_handle()),
      version_(static_cast<int64_t>(cublas_lt().get_version())),
      stored_(context.device().name, context.device().driver, version_),
      begin_(make_event(cudaEventDefault)),
      end_(make_event(cudaEventDefault)) {
    if (!stored_.trouble().empty())
        notes_.push_back(fmt::format("algorithms of products are chosen anew: {}", stored_.trouble()));
}

LtCall GemmPlans::call() const {
    return {handle_.get(), context_.stream(), context_.workspace(), context_.workspace_bytes()};
}

void GemmPlans::run(const Gemm& g) {
    if (g.m == 0 || g.n == 0) return;
    const GemmKey key(g, context_.options().tf32);
    auto found = plans_.find(key);
    if (found == plans_.end()) {
        require(!context_.recording(), "product {} is recorded before it has run once, when its algorithm is chosen",
                text(key));
        found = plans_.emplace(key, make(key, g)).first;
    }
    Plan& plan = found->second;
    if (!plan.problem) return gemm_small(g, context_);
    const cublasStatus_t status = plan.problem->run(g, prepared_bias(plan, g), g.c, plan.algorithm, call());
    if (status == CUBLAS_STATUS_SUCCESS) return;
    context_.require_device("multiply matrices");
    throw Error("cuBLASLt: product {} by {}: {}", text(key), plan.choice.kernel, cublas_lt().get_status_string(status));
}

GemmPlans::Plan GemmPlans::make(const GemmKey& key, const Gemm& g) {
    Plan plan;
    plan.choice.operation = fmt::format("gemm {}", text(key));
    plan.choice.library = fmt::format("cuBLASLt {}.{}", version_ / 10000, version_ / 100 % 100);
    std::vector<cublasLtMatmulAlgo_t> proposals;
    if (g.k > 0) {
        plan.problem = std::make_unique<GemmProblem>(key, plan.bias);
        proposals = plan.problem->propose(call());
        // The library may want the bias in the output's type: then it is rounded before each product.
        if (proposals.empty() && key.bias && key.out != DType::f32) {
            plan.bias = key.out;
            plan.problem = std::make_unique<GemmProblem>(key, plan.bias);
            proposals = plan.problem->propose(call());
        }
    }
    if (proposals.empty()) {
        plan.problem = nullptr;
        plan.choice.library = "own kernel";
        plan.choice.kernel = "gemm_small_kernel";
        plan.choice.reason = "cuBLASLt has no algorithm for it";
        return plan;
    }
    if (key.bias) book_bias(g.n * static_cast<int64_t>(sizeof(float)));
    choose(plan, text(key), proposals, g);
    plan.choice.kernel = name_of(plan.algorithm);
    return plan;
}

void GemmPlans::choose(Plan& plan, const std::string& product, const std::vector<cublasLtMatmulAlgo_t>& proposals,
                       const Gemm& g) {
    std::string& reason = plan.choice.reason;
    if (const auto stored = stored_.find(product)) {
        plan.algorithm = restored(*stored);
        reason = fmt::format("fastest in an earlier run: {:.1f} us", stored->microseconds);
        if (plan.problem->accepts(plan.algorithm, call())) return;
    }
    plan.algorithm = proposals.front();
    reason = "the only one";
    if (proposals.size() == 1) return;
    const DeviceMemory place = place_for(g);  // what is in c is to be added to once
    reason = "first proposal: there was no memory to time others";
    if (!place) return;
    const void* bias = prepared_bias(plan, g);
    double best = std::numeric_limits<double>::infinity();
    for (const cublasLtMatmulAlgo_t& algorithm : proposals) {
        const double time = time_of(plan, algorithm, g, bias, place.get());
        if (time < best) {
            best = time;
            plan.algorithm = algorithm;
        }
    }
    if (std::isinf(best)) {
        context_.require_device("multiply matrices");
        throw Error("cuBLASLt: none of its algorithms runs product {}", product);
    }
    reason = fmt::format("fastest of {}: {:.1f} us", proposals.size(), best);
    if (!stores_) return;
    const std::string problem = stored_.store(product, to_store(plan.algorithm, best));
    stores_ = problem.empty();
    if (!stores_) notes_.push_back(fmt::format("the choice of algorithms is not kept for the next run: {}", problem));
}

/// Microseconds of a run; infinite if the algorithm does not take the product after all.
double GemmPlans::time_of(Plan& plan, const cublasLtMatmulAlgo_t& algorithm, const Gemm& g, const void* bias, void* d) {
    for (int run = -1; run < kTimedRuns; ++run) {  // the first loads the code
        if (run == 0) check(cudaEventRecord(begin_.get(), context_.stream()), "time a product");
        if (plan.problem->run(g, bias, d, algorithm, call()) != CUBLAS_STATUS_SUCCESS) {
            cudaGetLastError();
            return std::numeric_limits<double>::infinity();
        }
    }
    check(cudaEventRecord(end_.get(), context_.stream()), "time a product");
    check(cudaEventSynchronize(end_.get()), "time a product");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin_.get(), end_.get()), "time a product");
    return 1e3 * static_cast<double>(milliseconds) / kTimedRuns;
}

void GemmPlans::book_bias(int64_t bytes) {
    if (bytes <= bias_bytes_) return;
    const int64_t enough = (bytes + kBiasUnit - 1) / kBiasUnit * kBiasUnit;
    bias_.push_back(device_memory(enough));
    bias_bytes_ = enough;
}

/// The bias as the library wants it: in the plan's type, and at an address for wide access.
const void* GemmPlans::prepared_bias(const Plan& plan, const Gemm& g) {
    if (g.bias == nullptr) return nullptr;
    if (plan.bias == DType::f32 && reinterpret_cast<uintptr_t>(g.bias) % kBiasAlignment == 0) return g.bias;
    void* place = bias_.back().get();
    cast({.from = g.bias, .to = place, .n = g.n, .from_dtype = DType::f32, .to_dtype = plan.bias}, context_);
    return place;
}

std::vector<KernelChoice> GemmPlans::choices() const {
    std::vector<KernelChoice> all;
    for (const auto& [key, plan] : plans_) all.push_back(plan.choice);
    return all;
}

void gemm(const Gemm& g, Context& context) {
    auto& cuda_context = static_cast<CudaContext&>(context);
    if (!cuda_context.gemm_plans) cuda_context.gemm_plans.reset(new GemmPlans(cuda_context));
    cuda_context.gemm_plans->run(g);
}

}  // namespace dropforge::kernels::on_cuda
