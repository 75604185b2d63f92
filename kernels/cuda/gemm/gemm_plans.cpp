// GEMM by the fastest algorithm of cuBLASLt on this machine, or by a kernel of our own. GELU epilogues are chosen in
// gemm_plans_gelu.cpp.
#include "kernels/cuda/gemm/gemm_plans.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "base/error.h"
#include "kernels/cuda/gemm/functions.h"
#include "kernels/cuda/rowwise/functions.h"
#include "kernels/cuda/runtime/workspace.h"

namespace dropforge::kernels::on_cuda {

namespace {

/// Timed runs of an algorithm: enough for a ranking, as differences below the noise do not matter.
constexpr int kTimedRuns = 5;
constexpr int64_t kBiasUnit = 64 << 10;
constexpr uintptr_t kVectorAlignment = 16;

static_assert(sizeof(cublasLtMatmulAlgo_t) == sizeof(StoredAlgorithm::words));

cublasLtHandle_t make_handle() {
    cublasLtHandle_t handle = nullptr;
    check(cublas_lt().create(&handle), "start");
    return handle;
}

/// Memory for results that are only timed; nullptr if none is left.
DeviceMemory place_for(int64_t bytes) {
    void* memory = nullptr;
    if (cudaMalloc(&memory, static_cast<size_t>(bytes)) == cudaSuccess) return DeviceMemory(memory);
    cudaGetLastError();
    return {};
}
int64_t bytes_of_result(const Gemm& g) { return ((g.m - 1) * g.ldc + g.n) * static_cast<int64_t>(size_of(g.out)); }

Gemm without_bias_gradient(Gemm g) {
    g.bias_gradient = nullptr;
    return g;
}
bool misaligned(const void* vector) { return reinterpret_cast<uintptr_t>(vector) % kVectorAlignment != 0; }

/// Where cuBLASLt writes the bias gradient: it cannot accumulate, and needs an aligned address.
void* bias_gradient_target(const Gemm& g) {
    return g.accumulate || misaligned(g.bias_gradient) ? g.scratch : g.bias_gradient;
}

}  // namespace

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

GemmPlans::GemmPlans(CudaContext& context, OpenGelu open_gelu)
    : context_(context),
      handle_(make_handle()),
      version_(static_cast<int64_t>(cublas_lt().get_version())),
      stored_(context.device().name, context.device().driver, version_),
      open_gelu_(std::move(open_gelu)),
      begin_(make_event(cudaEventDefault)),
      end_(make_event(cudaEventDefault)) {
    if (!stored_.trouble().empty())
        notes_.push_back(fmt::format("GEMM algorithms are chosen again: {}", stored_.trouble()));
}

LtCall GemmPlans::call() const { return {handle_.get(), context_.stream(), context_.workspace(), kWorkspaceBytes}; }

void GemmPlans::run(const Gemm& g) {
    if (g.m == 0 || g.n == 0) return;
    const GemmKey key(g, context_.options().tf32);
    Plan& plan = plan_of(key, g);
    if (!plan.problem && !plan.with_gelu) {
        if (key.gelu != GeluEpilogue::none) return run_unfused_gelu(g);
        if (!g.bias_gradient) return gemm_small(g, context_);
        column_sum(column_sum_of(g), context_);
        return run(without_bias_gradient(g));
    }
    const cublasStatus_t status = queue(plan, g);
    if (status == CUBLAS_STATUS_SUCCESS) return;
    context_.require_device("multiply matrices");
    throw Error("cuBLASLt: GEMM {} by {}: {}", text(key), plan.choice.kernel, cublas_lt().get_status_string(status));
}

cublasStatus_t GemmPlans::queue(Plan& plan, const Gemm& g) {
    if (plan.problem) {
        const cublasStatus_t status = plan.problem->run(g, prepared_vector(plan, g), g.c, plan.algorithm, call());
        if (status != CUBLAS_STATUS_SUCCESS) return status;
    } else {
        try {
            plan.with_gelu->run(g);
        } catch (const Error&) {  // the library's text does not say whether the device has failed
            context_.require_device("multiply matrices");
            throw;
        }
    }
    if (g.bias_gradient && bias_gradient_target(g) == g.scratch) {
        if (g.accumulate)
            add({.to = g.bias_gradient, .x = g.scratch, .n = g.m, .dtype = DType::f32}, context_);
        else
            cast({.from = g.scratch, .to = g.bias_gradient, .n = g.m, .from_dtype = DType::f32, .to_dtype = DType::f32},
                 context_);
    }
    return CUBLAS_STATUS_SUCCESS;
}

GemmPlans::Plan& GemmPlans::plan_of(const GemmKey& key, const Gemm& g) {
    const auto found = plans_.find(key);
    if (found != plans_.end()) return found->second;
    require(!context_.recording(), "GEMM {} is recorded before its first run, which chooses its algorithm", text(key));
    return plans_.emplace(key, make(key, g)).first->second;
}

GemmPlans::Plan GemmPlans::make(const GemmKey& key, const Gemm& g) {
    if (key.gelu != GeluEpilogue::none) return make_with_gelu(key, g);
    Plan plan;
    plan.choice.operation = fmt::format("{}gemm {}", key.bias_gradient ? "bias gradient of " : "", text(key));
    std::vector<cublasLtMatmulAlgo_t> proposals;
    if (g.k > 0 && !(key.bias_gradient && key.bias)) proposals = propose(plan, key, g);
    if (proposals.empty()) {
        if (key.bias_gradient) {
            use_column_sum(plan, "cuBLASLt has no algorithm for both");
            return plan;
        }
        plan.problem = nullptr;
        plan.choice.library = "own kernel";
        plan.choice.kernel = "gemm_small_kernel";
        plan.choice.reason = "cuBLASLt has no algorithm for it";
        return plan;
    }
    choose(plan, text(key), proposals, g);
    if (plan.problem) plan.choice.kernel = name_of(plan.algorithm);
    return plan;
}

/// Makes the plan's problem, and gives the algorithms for it.
std::vector<cublasLtMatmulAlgo_t> GemmPlans::propose(Plan& plan, const GemmKey& key, const Gemm& g) {
    plan.choice.library = fmt::format("cuBLASLt {}.{}", version_ / 10000, version_ / 100 % 100);
    if (key.bias) book_bias(g.n * static_cast<int64_t>(sizeof(float)));
    plan.problem = std::make_unique<GemmProblem>(key, plan.bias);
    std::vector<cublasLtMatmulAlgo_t> proposals = plan.problem->propose(g, call());
    // cuBLASLt may want the bias in the output's type: then it is rounded before each call.
    if (proposals.empty() && key.bias && key.out != DType::f32) {
        plan.bias = key.out;
        plan.problem = std::make_unique<GemmProblem>(key, plan.bias);
        proposals = plan.problem->propose(g, call());
    }
    return proposals;
}

void GemmPlans::use_column_sum(Plan& plan, const std::string& reason) {
    plan.problem = nullptr;
    plan.choice.library = "own kernel";
    plan.choice.kernel = "column_sum_kernel, GEMM without it";
    plan.choice.reason = reason;
}

void GemmPlans::choose(Plan& plan, const std::string& key, const std::vector<cublasLtMatmulAlgo_t>& proposals,
                       const Gemm& g) {
    std::string& reason = plan.choice.reason;
    if (const auto stored = stored_.find(key)) {
        reason = fmt::format("fastest in an earlier run: {:.1f} us", stored->microseconds);
        if (g.bias_gradient && stored->words == kUnfused) return use_column_sum(plan, std::string(reason));
        plan.algorithm = restored(*stored);
        if (plan.problem->accepts(plan.algorithm, call())) return;
    }
    plan.algorithm = proposals.front();
    const DeviceMemory place = place_for(bytes_of_result(g));  // c itself may accumulate, so trials must not touch it
    reason = "first proposal: there was no memory to time others";
    if (!place) return;
    const void* vector = prepared_vector(plan, g);
    double best = std::numeric_limits<double>::infinity();
    const auto time_all = [&](const std::vector<cublasLtMatmulAlgo_t>& algorithms) {
        for (const cublasLtMatmulAlgo_t& algorithm : algorithms) {
            const double time = time_of([&] { return plan.problem->run(g, vector, place.get(), algorithm, call()); });
            if (time >= best) continue;
            best = time;
            plan.algorithm = algorithm;
        }
    };
    time_all(proposals);
    const std::vector<cublasLtMatmulAlgo_t> others = plan.problem->with_other_split_k(plan.algorithm, call());
    time_all(others);
    const double unfused = g.bias_gradient ? time_unfused(g, place.get()) : std::numeric_limits<double>::infinity();
    StoredAlgorithm fastest = to_store(plan.algorithm, best);
    if (unfused < best) {
        use_column_sum(plan, fmt::format("faster: {:.1f} us, fused {:.1f}", unfused, best));
        fastest = {.words = kUnfused, .microseconds = unfused};
    } else if (std::isinf(best)) {
        context_.require_device("multiply matrices");
        throw Error("cuBLASLt: none of its algorithms runs GEMM {}", key);
    } else {
        reason = fmt::format("fastest of {}: {:.1f} us", proposals.size() + others.size(), best);
        if (g.bias_gradient) reason += fmt::format(", unfused {:.1f}", unfused);
    }
    keep(key, fastest);
}

void GemmPlans::keep(const std::string& key, const StoredAlgorithm& algorithm) {
    if (!stores_) return;
    const std::string problem = stored_.store(key, algorithm);
    stores_ = problem.empty();
    if (!stores_) notes_.push_back(fmt::format("the choice of algorithms is not kept for the next run: {}", problem));
}

double GemmPlans::time_unfused(const Gemm& g, void* place) {
    const Gemm bare = without_bias_gradient(g);
    Plan& plan = plan_of(GemmKey(bare, context_.options().tf32), bare);
    const DeviceMemory sums = place_for(g.m * static_cast<int64_t>(sizeof(float)));
    if (!plan.problem || !sums) return std::numeric_limits<double>::infinity();
    ColumnSum trial = column_sum_of(g);
    trial.sum = static_cast<float*>(sums.get());
    trial.accumulate = false;
    return time_of([&] {
        column_sum(trial, context_);
        return plan.problem->run(bare, nullptr, place, plan.algorithm, call());
    });
}

double GemmPlans::time_of(const std::function<cublasStatus_t()>& run) {
    for (int turn = -1; turn < kTimedRuns; ++turn) {  // the first loads the code
        if (turn == 0) check(cudaEventRecord(begin_.get(), context_.stream()), "time a GEMM");
        if (run() != CUBLAS_STATUS_SUCCESS) {
            cudaGetLastError();
            return std::numeric_limits<double>::infinity();
        }
    }
    check(cudaEventRecord(end_.get(), context_.stream()), "time a GEMM");
    check(cudaEventSynchronize(end_.get()), "time a GEMM");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin_.get(), end_.get()), "time a GEMM");
    return 1e3 * static_cast<double>(milliseconds) / kTimedRuns;
}

void GemmPlans::book_bias(int64_t bytes) {
    if (bytes <= bias_bytes_) return;
    const int64_t enough = (bytes + kBiasUnit - 1) / kBiasUnit * kBiasUnit;
    bias_.push_back(device_memory(enough));
    bias_bytes_ = enough;
}

/// The place of the bias gradient, or the bias as cuBLASLt wants it: in the plan's type, at an aligned address.
const void* GemmPlans::prepared_vector(const Plan& plan, const Gemm& g) {
    if (g.bias == nullptr) return g.bias_gradient ? bias_gradient_target(g) : nullptr;
    if (plan.bias == DType::f32 && !misaligned(g.bias)) return g.bias;
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
    auto& cuda = static_cast<CudaContext&>(context);
    cuda.selector<GemmPlans>([&] { return std::make_unique<GemmPlans>(cuda, open_gelu_library); }).run(g);
}

}  // namespace dropforge::kernels::on_cuda
