// GEMM with a GELU epilogue: by a library's fused kernel where one is right and faster, else by the GEMM and our own
// GELU kernel after it. cuBLASLt has GELU's tanh form, cuDNN both. Fused kernels serve 16-bit storage only, since
// libraries do not document how exact their GELU is.
#include <cmath>
#include <limits>

#include "base/error.h"
#include "kernels/cuda/gemm/functions.h"
#include "kernels/cuda/gemm/gemm_plans.h"
#include "kernels/cuda/rowwise/functions.h"
#include "kernels/cuda/runtime/check_rows.cuh"
#include "kernels/device_lost.h"

namespace dropforge::kernels::on_cuda {

namespace {

/// Proposals tried of the library beside cuBLASLt. Building one takes a second, and later ones are seldom the best.
constexpr int64_t kProposals = 4;
/// First word of the StoredAlgorithm of such a proposal; the library's version and the proposal's number follow.
constexpr uint64_t kGeluKernel = 0x67656c75;

CheckRows matrix(const Gemm& g, void* x) { return {x, g.m, g.n, g.n, g.out}; }

}  // namespace

/// Random operands with the key of g, scaled such that GELU is tried where it is curved, and memory for two results:
/// those of the candidate and those of our own kernels.
struct GemmPlans::GeluTrial {
    GeluTrial(const Gemm& g, CudaContext& context) : tried(g), right(g) {
        const auto fill = [&](const void*& operand, const CheckRows& rows, uint32_t seed, float spread) {
            operand = take(rows.rows * rows.stride * size_of(rows.dtype));
            fill_random({memory.back().get(), rows.rows, rows.columns, rows.stride, rows.dtype}, seed, spread, context);
        };
        const int64_t a_rows = g.transpose_a ? g.k : g.m, a_columns = g.transpose_a ? g.m : g.k;
        const int64_t b_rows = g.transpose_b ? g.n : g.k, b_columns = g.transpose_b ? g.k : g.n;
        fill(tried.a, {nullptr, a_rows, a_columns, g.lda, g.dtype}, 1, 1);
        fill(tried.b, {nullptr, b_rows, b_columns, g.ldb, g.dtype}, 2, 1 / std::sqrt(static_cast<float>(g.k)));
        if (g.gelu.input) fill(tried.gelu.input, matrix(g, nullptr), 3, 1);
        if (g.bias) tried.bias = bias(g.n, context);
        right = tried;
        for (Gemm* results : {&tried, &right}) {
            results->c = take(g.m * g.n * size_of(g.out));
            if (g.gelu.output) results->gelu.output = take(g.m * g.n * size_of(g.out));
        }
        partial = static_cast<float*>(take(difference_scratch_bytes(g.m, g.n)));
    }
    void* take(int64_t bytes) { return memory.emplace_back(device_memory(bytes)).get(); }
    const float* bias(int64_t n, CudaContext& context) {
        std::vector<float> values;
        for (int64_t i = 0; i < n; ++i) values.push_back(static_cast<float>(i % 17 - 8) / 8);
        const int64_t bytes = n * static_cast<int64_t>(sizeof(float));
        void* place = take(bytes);
        context.upload(place, values.data(), bytes);
        context.synchronize();
        return static_cast<float*>(place);
    }

    std::vector<DeviceMemory> memory;
    Gemm tried, right;
    float* partial = nullptr;
};

void GemmPlans::run_unfused_gelu(const Gemm& g) {
    Gemm bare = g;
    bare.gelu = {};
    run(bare);
    if (g.gelu.output)
        gelu_forward(gelu_after(g), context_);
    else
        gelu_backward(gelu_slope_after(g), context_);
}

GemmPlans::Plan GemmPlans::make_with_gelu(const GemmKey& key, const Gemm& g) {
    Plan plan;
    std::string why_unfused;
    const auto stored = stored_.find(text(key));
    const std::string earlier = stored ? fmt::format("fastest in an earlier run: {:.1f} us", stored->microseconds) : "";
    if (stored && stored->words == kUnfused) {
        why_unfused = earlier;
    } else if (stored && restore(plan, *stored, key, g)) {
        plan.choice.reason = earlier;
    } else {
        why_unfused = try_libraries(plan, key, g);
    }
    if (!why_unfused.empty()) {
        plan = {};
        plan.choice.library = "own kernel";
        plan.choice.kernel = "GELU kernel after the GEMM";
        plan.choice.reason = why_unfused;
    }
    plan.choice.operation = fmt::format("gelu of gemm {}", text(key));
    return plan;
}

/// Why no library is used; empty: `plan` has the fastest.
std::string GemmPlans::try_libraries(Plan& plan, const GemmKey& key, const Gemm& g) {
    if (!is_16_bit(key.dtype)) return "libraries' GELU is for 16-bit storage";
    if (key.k == 0) return "k is 0";
    std::string why_not;
    std::vector<Plan> candidates = gelu_candidates(key, g, why_not);
    if (candidates.empty()) return why_not;
    try {
        const GeluTrial trial(g, context_);
        run_unfused_gelu(trial.right);
        const double unfused = time_of([&] {
            run_unfused_gelu(trial.right);
            return CUBLAS_STATUS_SUCCESS;
        });
        double best = std::numeric_limits<double>::infinity();
        for (Plan& candidate : candidates) {
            const KernelChoice& choice = candidate.choice;
            if (std::string trouble = trouble_of(candidate, trial); !trouble.empty()) {
                notes_.push_back(fmt::format("{} {} is not used for GEMM {}: {}", choice.library, choice.kernel,
                                             text(key), trouble));
                continue;
            }
            const double time = time_of([&] { return queue(candidate, trial.tried); });
            if (time >= best) continue;
            best = time;
            plan = std::move(candidate);
        }
        if (std::isinf(best)) return "no library's kernel gives right results";
        if (unfused < best) {
            keep(text(key), {.words = kUnfused, .microseconds = unfused});
            return fmt::format("faster: {:.1f} us, fused {:.1f} by {} {}", unfused, best, plan.choice.library,
                               plan.choice.kernel);
        }
        plan.choice.reason = fmt::format("faster: {:.1f} us, unfused {:.1f}", best, unfused);
        plan.stored.microseconds = best;
        keep(text(key), plan.stored);
        return "";
    } catch (const DeviceLost&) {
        throw;
    } catch (const Error& e) {
        context_.require_device("multiply matrices");
        return fmt::format("libraries could not be tried: {}", e.what());
    }
}

std::vector<GemmPlans::Plan> GemmPlans::gelu_candidates(const GemmKey& key, const Gemm& g, std::string& why_not) {
    std::vector<Plan> all;
    why_not = "cuBLASLt has GELU with tanh only";
    if (key.form == Gelu::tanh) {
        Plan first;
        for (const cublasLtMatmulAlgo_t& algorithm : propose(first, key, g))
            all.push_back(by_cublaslt(key, first, algorithm));
        why_not = "cuBLASLt has no algorithm for it";
    }
    std::string reason;
    GeluLibrary* library = gelu_library(reason);
    for (int64_t n = 0; library && n < kProposals; ++n) {
        Plan plan = by_library(*library, key, n, reason);
        if (plan.with_gelu) all.push_back(std::move(plan));
    }
    why_not += "; " + reason;
    return all;
}

GemmPlans::Plan GemmPlans::by_cublaslt(const GemmKey& key, const Plan& like, const cublasLtMatmulAlgo_t& algorithm) {
    Plan plan;
    plan.problem = std::make_unique<GemmProblem>(key, like.bias);
    plan.algorithm = algorithm;
    plan.bias = like.bias;
    plan.stored = to_store(algorithm);
    plan.choice.library = like.choice.library;
    plan.choice.kernel = name_of(algorithm);
    return plan;
}

GemmPlans::Plan GemmPlans::by_library(GeluLibrary& library, const GemmKey& key, int64_t n, std::string& why_not) {
    Plan plan;
    plan.with_gelu = library.kernel(key, n, why_not);
    if (!plan.with_gelu) return plan;
    plan.stored.words = {kGeluKernel, static_cast<uint64_t>(library.version()), static_cast<uint64_t>(n)};
    plan.choice.library = library.name();
    plan.choice.kernel = plan.with_gelu->name();
    return plan;
}

bool GemmPlans::restore(Plan& plan, const StoredAlgorithm& stored, const GemmKey& key, const Gemm& g) {
    if (stored.words[0] != kGeluKernel) {
        propose(plan, key, g);
        if (!plan.problem->accepts(restored(stored), call())) return false;
        plan = by_cublaslt(key, plan, restored(stored));
    } else {
        std::string why_not;
        GeluLibrary* library = gelu_library(why_not);
        if (library == nullptr || static_cast<uint64_t>(library->version()) != stored.words[1]) return false;
        plan = by_library(*library, key, static_cast<int64_t>(stored.words[2]), why_not);
    }
    return plan.problem || plan.with_gelu;
}

GeluLibrary* GemmPlans::gelu_library(std::string& why_not) {
    if (open_gelu_) gelu_library_ = std::exchange(open_gelu_, nullptr)(context_, why_no_gelu_);
    why_not = why_no_gelu_;
    return gelu_library_.get();
}

std::string GemmPlans::trouble_of(Plan& candidate, const GeluTrial& trial) {
    const Gemm &g = trial.tried, &right = trial.right;
    struct Result {
        const char* name;
        void *x, *right;
    };
    std::vector<Result> results = {{"c", g.c, right.c}};
    if (g.gelu.output) results.push_back({"gelu", g.gelu.output, right.gelu.output});
    for (const Result& r : results) fill_value(matrix(g, r.x), std::numeric_limits<float>::quiet_NaN(), context_);
    try {
        if (queue(candidate, g) != CUBLAS_STATUS_SUCCESS) return "it does not run";
    } catch (const Error& e) {
        context_.require_device("multiply matrices");
        return e.what();
    }
    for (const Result& r : results) {
        const Difference d = difference(matrix(g, r.x), r.right, trial.partial, context_);
        if (d.not_finite > 0) return fmt::format("{} numbers of {} are not finite", d.not_finite, r.name);
        if (!(d.squares <= d.of * relative_limit(g.out) * relative_limit(g.out)))
            return fmt::format("{} is off by {:.2g}, relative", r.name, d.relative());
    }
    return "";
}

}  // namespace dropforge::kernels::on_cuda
