// cuDNN's attention on a GPU compared with our own kernels, for the shapes of the presets: right, fresh at each replay,
// the same twice; and a table of times. Skipped where there is no GPU or no cuDNN.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <array>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/philox.h"
#include "kernels/cuda/attention/attention_check.h"
#include "tests/support/attention_shapes.h"

namespace dropforge::kernels::on_cuda {
namespace {

/// A GPU with cuDNN; empty where one of them is not there.
struct Device {
    std::unique_ptr<CudaContext> context;
    std::unique_ptr<AttentionLibrary> cudnn;

    Device() {
        std::string why_not;
        if (find_cuda_device(why_not)) {
            context = std::make_unique<CudaContext>();
            cudnn = open_attention_library(*context, why_not);
        }
        if (!cudnn) MESSAGE("skipped: " << why_not);
    }
};

/// Plans and what they work in.
struct Planned {
    std::string why_not;  // there before the plan, which writes to it
    std::unique_ptr<AttentionPlan> plan;
    DeviceMemory workspace;

    Planned(AttentionLibrary& library, const AttentionShape& shape) : plan(library.plan(shape, why_not)) {
        if (plan) workspace = device_memory(std::max<int64_t>(plan->workspace_bytes(), 1));
    }
};

TEST_CASE("cuDNN's attention is right for the presets, or known not to be") {
    Device device;
    if (!device.cudnn) return;
    fmt::print("{} on {}\n{:58} {:>9} {:>9} {:>9} {:>8} {:>9}  {}\n", device.cudnn->name(),
               device.context->device().name, "attention, forward and backward", "cuDNN us", "own us", "error",
               "plan ms", "work MB", "verdict, plan");
    for (const test::AttentionRows rows : test::kAttentionRows) {
        for (const float dropout : {0.0f, 0.1f}) {
            const AttentionShape shape(test::attention_of_preset(rows.keys > 128 ? 32 : 128, {12, 64}, rows, dropout));
            const auto begin = std::chrono::steady_clock::now();
            Planned p(*device.cudnn, shape);
            const double ms =
                std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
            const std::string known = device.cudnn->known_trouble(shape);
            if (!p.plan) {
                fmt::print("{:58} {}\n", text(shape), p.why_not);
                CHECK_MESSAGE(device.context->device().compute_capability / 10 == 10, p.why_not);
                continue;
            }
            const AttentionVerdict v = check_attention(shape, *p.plan, p.workspace.get(), *device.context);
            fmt::print("{:58} {:9.1f} {:9.1f} {:9.2g} {:8.0f} {:9.1f}  {}{}; {}\n", text(shape), v.microseconds,
                       v.own_microseconds, v.error, ms, static_cast<double>(p.plan->workspace_bytes()) / 1e6,
                       v.trouble.empty() ? "right" : v.trouble, known.empty() ? "" : " (" + known + ")",
                       p.plan->name());
            std::fflush(stdout);
            CHECK_MESSAGE((v.trouble.empty() || !known.empty()), text(shape) << ": " << v.trouble);
        }
    }
}

/// Operands of one attention with dropout, random.
class Bench {
  public:
    Bench(CudaContext& context, AttentionLibrary& library)
        : context_(context), planned_(library, AttentionShape(sizes())) {
        require(planned_.plan != nullptr, "{}", planned_.why_not);
        PhiloxStream stream(1, 2);
        for (DeviceMemory& m : memory_) {
            m = device_memory(kBytes);
            std::vector<bf16> values(kBytes / sizeof(bf16));
            for (bf16& x : values) x = bf16(static_cast<float>(stream.uniform() * 2 - 1));
            context_.upload(m.get(), values.data(), kBytes);
            context_.synchronize();
        }
    }
    void set_step(uint32_t step) {
        const std::array<uint32_t, 4> state = {1, 2, step, 0};
        context_.upload(state_.get(), state.data(), sizeof state);
        context_.synchronize();
    }
    void forward() {
        AttentionForward a = sizes();
        a.q = at(0);
        a.k = after(0, 1);
        a.v = after(0, 2);
        a.out = at(1);
        a.lse = static_cast<float*>(lse_.get());
        a.dropout.state = static_cast<const uint32_t*>(state_.get());
        planned_.plan->forward(a, planned_.workspace.get());
    }
    void backward() {
        AttentionBackward a{sizes()};
        a.q = at(0);
        a.k = after(0, 1);
        a.v = after(0, 2);
        a.out = at(1);
        a.lse = static_cast<float*>(lse_.get());
        a.dout = at(2);
        a.dq = at(3);
        a.dk = after(3, 1);
        a.dv = after(3, 2);
        a.dropout.state = static_cast<const uint32_t*>(state_.get());
        planned_.plan->backward(a, planned_.workspace.get());
    }
    std::vector<uint16_t> outputs() { return fetch(1, kRows * kColumns); }
    std::vector<uint16_t> gradients() { return fetch(3, 3 * kRows * kColumns); }

  private:
    static constexpr int64_t kBatch = 4, kSequence = 128, kRows = kBatch * kSequence, kColumns = 12 * 64;
    static constexpr int64_t kBytes = 3 * kRows * kColumns * 2;

    static AttentionForward sizes() {
        return test::attention_of_preset(kBatch, {12, 64}, {kSequence, kSequence}, 0.1f);
    }
    void* at(size_t nth) const { return memory_[nth].get(); }
    void* after(size_t nth, int64_t blocks) const {
        return static_cast<std::byte*>(memory_[nth].get()) + blocks * kColumns * 2;
    }
    std::vector<uint16_t> fetch(size_t nth, int64_t elements) {
        std::vector<uint16_t> bits(static_cast<size_t>(elements));
        context_.download(bits.data(), at(nth), elements * 2);
        context_.synchronize();
        return bits;
    }

    CudaContext& context_;
    Planned planned_;
    std::array<DeviceMemory, 4> memory_;
    DeviceMemory lse_ = device_memory(kBatch * 12 * kSequence * 4), state_ = device_memory(16);
};

TEST_CASE("a recorded step draws fresh dropout, the one of its state, and the same bits each time") {
    Device device;
    if (!device.cudnn || device.context->device().compute_capability / 10 == 10) return;
    Bench b(*device.context, *device.cudnn);
    const auto step = [&](uint32_t number, const std::function<void()>& calls) {
        b.set_step(number);
        calls();
        return std::pair(b.outputs(), b.gradients());
    };
    const auto both = [&] {
        b.forward();
        b.backward();
    };
    const auto first = step(1, both), again = step(1, both), second = step(2, both);
    CHECK(first == again);
    CHECK(first.first != second.first);
    const std::unique_ptr<Recording> recording = device.context->record(both);
    CHECK(step(1, [&] { recording->run(); }) == first);
    CHECK(step(2, [&] { recording->run(); }) == second);
}

}  // namespace
}  // namespace dropforge::kernels::on_cuda
