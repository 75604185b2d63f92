#include "kernels/cuda/attention/attention_choice.h"

#include <cstdlib>
#include <utility>

#include "base/error.h"
#include "kernels/cuda/attention/attention_check.h"
#include "kernels/cuda/attention/functions.h"
#include "kernels/cuda/runtime/workspace.h"
#include "kernels/device_lost.h"

namespace dropforge::kernels::on_cuda {

namespace {

AttentionKernels& kernels_of(Context& context) {
    auto& cuda = static_cast<CudaContext&>(context);
    return cuda.selector<AttentionKernels>([&] {
        const AttentionUse use = attention_use(cuda.options());
        std::string why_not = "DROPFORGE_ATTENTION or the options say own";
        std::unique_ptr<AttentionLibrary> library =
            use == AttentionUse::own ? nullptr : open_attention_library(cuda, why_not);
        return std::make_unique<AttentionKernels>(cuda, use, std::move(library), why_not);
    });
}

}  // namespace

AttentionUse attention_use(const CudaOptions& options) {
    const char* variable = std::getenv("DROPFORGE_ATTENTION");
    const std::string name = variable == nullptr ? "" : variable;
    if (name.empty()) return options.attention;
    if (name == "auto") return AttentionUse::automatic;
    if (name == "cudnn") return AttentionUse::cudnn;
    require(name == "own", "DROPFORGE_ATTENTION is {}: it must be auto, cudnn or own", name);
    return AttentionUse::own;
}

AttentionKernels::AttentionKernels(CudaContext& context, AttentionUse use, std::unique_ptr<AttentionLibrary> library,
                                   std::string why_no_library)
    : context_(context), use_(use), library_(std::move(library)), why_no_library_(std::move(why_no_library)) {}

void AttentionKernels::forward(const AttentionForward& a) {
    const Chosen& c = chosen(AttentionShape(a));
    if (!c.plan) return attention_forward(a, context_);
    by_library([&] { c.plan->forward(a, c.workspace); });
}

void AttentionKernels::backward(const AttentionBackward& a) {
    const Chosen& c = chosen(AttentionShape(a));
    if (!c.plan) return attention_backward(a, context_);
    by_library([&] { c.plan->backward(a, c.workspace); });
}

/// Calls the library. Its errors do not say whether the device has failed, so that is checked.
template <typename Call>
void AttentionKernels::by_library(const Call& call) const {
    try {
        call();
    } catch (const Error&) {
        context_.require_device("compute attention");
        throw;
    }
}

std::vector<KernelChoice> AttentionKernels::choices() const {
    std::vector<KernelChoice> all;
    for (const auto& [shape, chosen] : chosen_) all.push_back(chosen.report);
    return all;
}

AttentionKernels::Chosen& AttentionKernels::chosen(const AttentionShape& shape) {
    const auto found = chosen_.find(shape);
    return found != chosen_.end() ? found->second : chosen_.emplace(shape, choose(shape)).first->second;
}

AttentionKernels::Chosen AttentionKernels::choose(const AttentionShape& shape) {
    Chosen chosen;
    chosen.report.operation = "attention " + text(shape);
    const std::string why_not = try_library(shape, chosen);
    if (why_not.empty()) return chosen;
    require(use_ != AttentionUse::cudnn || shape.dtype == DType::f32, "{} cannot be served by cuDNN: {}",
            chosen.report.operation, why_not);
    chosen.plan = nullptr;
    chosen.report.library = "own kernel";
    chosen.report.reason = why_not;
    return chosen;
}

std::string AttentionKernels::try_library(const AttentionShape& shape, Chosen& chosen) {
    if (!library_) return why_no_library_;
    if (!is_16_bit(shape.dtype)) return "libraries support 16-bit storage only";
    if (shape.batch * shape.heads * shape.rows_q * shape.rows_kv == 0) return "there are no rows";
    if (!shape.aligned) return "rows are not aligned to 16 bytes";
    if (use_ != AttentionUse::cudnn)
        if (std::string trouble = library_->known_trouble(shape); !trouble.empty()) return trouble;
    require(!context_.recording(), "{} is recorded before its first run, which chooses its kernels",
            chosen.report.operation);
    std::string why_not;
    chosen.plan = library_->plan(shape, why_not);
    if (!chosen.plan) return fmt::format("{}: {}", library_->name(), why_not);
    AttentionVerdict verdict;
    try {
        chosen.workspace = workspace(chosen.plan->workspace_bytes());
        verdict = check_attention(shape, *chosen.plan, chosen.workspace, context_);
    } catch (const DeviceLost&) {
        throw;
    } catch (const Error& e) {
        context_.require_device("check attention");
        return fmt::format("{} {} could not be checked: {}", library_->name(), chosen.plan->name(), e.what());
    }
    if (!verdict.trouble.empty())
        return fmt::format("{} {} is wrong here: {}", library_->name(), chosen.plan->name(), verdict.trouble);
    chosen.report.library = library_->name();
    chosen.report.kernel = chosen.plan->name();
    chosen.report.reason = fmt::format("off by {:.2g} at most; forward and backward {:.0f} us, own kernel {:.0f} us",
                                       verdict.error, verdict.microseconds, verdict.own_microseconds);
    return "";
}

void* AttentionKernels::workspace(int64_t bytes) {
    if (bytes <= kWorkspaceBytes) return context_.workspace();
    if (bytes > workspace_bytes_) {
        workspaces_.push_back(device_memory(bytes));
        workspace_bytes_ = bytes;
    }
    return workspaces_.back().get();
}

void chosen_attention_forward(const AttentionForward& a, Context& context) { kernels_of(context).forward(a); }
void chosen_attention_backward(const AttentionBackward& a, Context& context) { kernels_of(context).backward(a); }

}  // namespace dropforge::kernels::on_cuda
