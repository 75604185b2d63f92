// The host side of the CUDA backend, on an imaginary GPU (kernels/cuda/emulator/mock_runtime.h): memory, copies and
// their order, marks, recordings; what is said where there is no GPU or it fails.
#include "kernels/cuda/runtime/context.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/buffer.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/emulator/mock_runtime.h"
#include "kernels/cuda/libraries/library.h"
#include "kernels/cuda/runtime/refuse.h"
#include "kernels/device_lost.h"
#include "tests/support/message_of.h"
#include "tests/support/temporary_folder.h"

namespace dropforge::kernels::on_cuda {
namespace {

using simt::machine;
using simt::Pace;
using simt::ScopedMachine;
using test::message_of;

constexpr Pace kPaces[] = {Pace::eager, Pace::late_kernels, Pace::late_copies};

/// Floats that kernels or copies work on.
struct Floats {
    Floats(CudaContext& context, int64_t n) : buffer(n * 4, context), n(n), context(context) {}
    std::vector<float> read() {
        std::vector<float> values(static_cast<size_t>(n));
        context.download(values.data(), buffer.as<>(), n * 4);
        context.synchronize();
        return values;
    }
    Buffer buffer;
    int64_t n;
    CudaContext& context;
};

void add_to(Floats& to, Floats& x) { cuda().add({to.buffer.as<>(), x.buffer.as<>(), to.n, DType::f32}, to.context); }

TEST_CASE("memory is zeroed, on 256-byte borders, of exactly the size, and given back") {
    const int64_t before = machine().used;
    {
        CudaContext context;
        const int64_t free = context.free_bytes();
        Floats a(context, 1001);
        CHECK(context.free_bytes() == free - 4004);
        CHECK(reinterpret_cast<uintptr_t>(a.buffer.as<>()) % 256 == 0);
        CHECK(a.read() == std::vector<float>(1001, 0.0f));
        CHECK(context.allocate(0) == nullptr);
        auto* host = static_cast<char*>(context.allocate_host(300));
        CHECK(std::accumulate(host, host + 300, 0) == 0);
        context.release_host(host, 300);
    }
    CHECK(machine().used == before);
}

TEST_CASE("copies and kernels keep their order whatever the pace") {
    for (const Pace pace : kPaces) {
        const ScopedMachine scope;
        machine().pace = pace;
        CudaContext context;
        Floats a(context, 3), b(context, 3);
        const float one[] = {1, 2, 3}, two[] = {10, 20, 30};
        context.upload(a.buffer.as<>(), one, sizeof one);
        context.upload(b.buffer.as<>(), two, sizeof two);
        add_to(a, b);
        context.upload(b.buffer.as<>(), one, sizeof one);
        CHECK(a.read() == std::vector<float>{11, 22, 33});
        CHECK(b.read() == std::vector<float>{1, 2, 3});
    }
}

TEST_CASE("inputs that are fed arrive in their turn: more of them than there are places, of growing size") {
    constexpr int kFeeds = 50;
    for (const Pace pace : kPaces) {
        const ScopedMachine scope;
        machine().pace = pace;
        CudaContext context;
        constexpr int64_t n = 20000;  // more than a place has at first
        Floats sum(context, n), input(context, n);
        std::vector<std::vector<float>> steps;
        for (int i = 0; i < kFeeds; ++i) steps.emplace_back(n, static_cast<float>(i + 1));
        float expected = 0;
        for (int i = 0; i < kFeeds; ++i) {
            const auto count = i % 3 == 0 ? n : 100;  // the rest is still the step's before
            context.feed(input.buffer.as<>(), steps[static_cast<size_t>(i)].data(), count * 4);
            add_to(sum, input);
            expected += static_cast<float>(i + 1);
        }
        const std::vector<float> result = sum.read();
        CHECK(result[0] == expected);
        CHECK(result[99] == expected);
        float of_long_ones = 0;
        for (int i = 0; i < kFeeds; ++i) of_long_ones += static_cast<float>(i / 3 * 3 + 1);
        CHECK(result[100] == of_long_ones);
        CHECK(result[n - 1] == of_long_ones);
    }
}

TEST_CASE("a mark is waited for alone, marks that are long past too") {
    const ScopedMachine scope;
    machine().pace = Pace::late_kernels;
    CudaContext context;
    Floats a(context, 1);
    const std::vector<float> values = {1, 2};
    float first = 0, second = 0;
    context.upload(a.buffer.as<>(), values.data(), 4);
    context.download(&first, a.buffer.as<>(), 4);
    const int64_t mark = context.mark();
    context.upload(a.buffer.as<>(), &values[1], 4);
    context.download(&second, a.buffer.as<>(), 4);
    CHECK(first == 0);
    context.wait(mark);
    CHECK(first == 1);
    CHECK(second == 0);
    int64_t last = mark;
    for (int i = 0; i < 1000; ++i) {
        const int64_t next = context.mark();
        CHECK(next > last);
        last = next;
    }
    context.wait(mark);  // its event has gone to a later mark, so that is waited for
    CHECK(second == 2);
    context.wait(last);
    CHECK(message_of([&] { context.wait(last + 1); }) ==
          fmt::format("mark {} of a context that has given {}", last + 1, last));
}

TEST_CASE("a recording runs nothing, then all of it each time") {
    for (const Pace pace : kPaces) {
        const ScopedMachine scope;
        machine().pace = pace;
        CudaContext context;
        Floats a(context, 2), b(context, 2);
        std::vector<float> source = {1, 2}, result(2);
        const std::unique_ptr<Recording> step = context.record([&] {
            context.upload(b.buffer.as<>(), source.data(), 8);
            add_to(a, b);
            context.download(result.data(), a.buffer.as<>(), 8);
        });
        CHECK(a.read() == std::vector<float>{0, 0});
        step->run();
        step->run();
        context.synchronize();
        CHECK(result == std::vector<float>{2, 4});
        source = {10, 20};  // it reads what is there when it runs
        step->run();
        context.synchronize();
        CHECK(result == std::vector<float>{12, 24});
    }
}

TEST_CASE("what cannot be recorded is refused, and the context goes on") {
    CudaContext context;
    Floats a(context, 2), b(context, 2);
    const float one[] = {1, 2};
    const auto refused = [&](auto&& call) { return message_of([&] { context.record(call); }); };
    CHECK(refused([&] { context.allocate(8); }) == "CUDA: cannot get memory while calls are being recorded");
    CHECK(refused([&] { context.allocate_host(8); }) == "CUDA: cannot get memory while calls are being recorded");
    CHECK(refused([&] { context.feed(a.buffer.as<>(), one, 8); }) ==
          "CUDA: cannot feed inputs while calls are being recorded");
    CHECK(refused([&] { context.synchronize(); }) == "CUDA: cannot mark a point while calls are being recorded");
    CHECK(refused([&] { context.wait(0); }) == "CUDA: cannot wait while calls are being recorded");
    CHECK(refused([&] { context.record([] {}); }) == "CUDA: cannot record while calls are being recorded");
    CHECK(refused([] { throw Error("stopped"); }) == "stopped");
    // Behind the context's back: the runtime gives up the recording.
    CHECK(refused([&] { cudaStreamSynchronize(context.stream()); }) ==
          "CUDA: cannot record calls: operation failed due to a previous error during capture "
          "(cudaErrorStreamCaptureInvalidated)");
    context.upload(b.buffer.as<>(), one, 8);
    const auto step = context.record([&] { add_to(a, b); });
    step->run();
    CHECK(a.read() == std::vector<float>{1, 2});
}

TEST_CASE("too little memory: what was asked for and what is free") {
    const ScopedMachine scope;
    CudaContext context;
    machine().memory = machine().used + 1000;
    CHECK(context.free_bytes() == 1000);
    CHECK(message_of([&] { context.allocate(2'000'000'000); }) ==
          "cannot get 2000000000 bytes (2.00 GB) of GPU memory: 1000 bytes (0.00 GB) of 0.13 GB are free, the rest is "
          "this process's or others' (nvidia-smi lists them); a smaller batch or shorter sequences need less");
    CHECK(context.free_bytes() == 1000);
    Floats fits(context, 250);
    CHECK(fits.read() == std::vector<float>(250, 0.0f));
}

/// Which notes its end in a list, if the context's stream can still be used.
template <char kName>
class Selector final : public KernelSelector {
  public:
    Selector(CudaContext& context, std::string& ended) : context_(context), ended_(ended) {}
    ~Selector() override {
        if (cudaStreamSynchronize(context_.stream()) == cudaSuccess) ended_ += kName;
    }
    std::vector<KernelChoice> choices() const override { return {{std::string(1, kName), {}, {}, {}}}; }
    std::vector<std::string> take_notes() override { return {std::string(1, kName)}; }

  private:
    CudaContext& context_;
    std::string& ended_;
};

TEST_CASE("selectors of kernels are made once, listed in that order, and end in reverse before the streams") {
    std::string ended;
    {
        CudaContext context;
        const auto first = [&] { return std::make_unique<Selector<'1'>>(context, ended); };
        const auto second = [&] { return std::make_unique<Selector<'2'>>(context, ended); };
        CHECK_THROWS(context.selector<Selector<'1'>>([&]() -> std::unique_ptr<Selector<'1'>> { throw Error("no"); }));
        const auto& made = context.selector<Selector<'1'>>(first);
        context.selector<Selector<'2'>>(second);
        CHECK(&context.selector<Selector<'1'>>(first) == &made);
        REQUIRE(context.choices().size() == 2);
        CHECK(context.choices()[0].operation == "1");
        CHECK(context.choices()[1].operation == "2");
        CHECK(context.take_notes() == std::vector<std::string>{"1", "2"});
        CHECK(ended.empty());
    }
    CHECK(ended == "21");
}

TEST_CASE("memory that another process took in between: the same, and the context goes on") {
    const ScopedMachine scope;
    CudaContext context;
    Floats a(context, 10);
    machine().failing["cudaMalloc"] = cudaErrorMemoryAllocation;
    CHECK(message_of([&] { context.allocate(8); }).starts_with("cannot get 8 bytes (0.00 GB) of GPU memory: "));
    CHECK(a.read() == std::vector<float>(10, 0.0f));
}

TEST_CASE("a GPU that fails says so once") {
    const ScopedMachine scope;
    CudaContext context;
    machine().failing["cudaEventSynchronize"] = cudaErrorIllegalAddress;
    CHECK(message_of([&] { context.synchronize(); }) ==
          "CUDA: the GPU has failed, noticed on trying to wait for the GPU: an illegal memory access was encountered "
          "(cudaErrorIllegalAddress)");
    CHECK(cudaGetLastError() == cudaSuccess);
}

/// What a lost device is called, wherever it shows.
void check_lost(const char* during, const std::function<void(CudaContext&, Floats&)>& use) {
    for (const cudaError_t error :
         {cudaErrorIllegalAddress, cudaErrorECCUncorrectable, cudaErrorLaunchTimeout, cudaErrorNoDevice}) {
        const ScopedMachine scope;
        machine().pace = Pace::late_kernels;  // something is under way
        const int64_t before = machine().used;
        {
            CudaContext context;
            Floats a(context, 3);
            void* host = context.allocate_host(100);
            const auto recording = context.record([&] { add_to(a, a); });
            add_to(a, a);
            machine().lost = error;
            std::string message;
            try {
                use(context, a);
            } catch (const DeviceLost& lost) {
                message = lost.what();
            }
            CHECK(message == fmt::format("CUDA: the GPU has failed, noticed on trying to {}: {} ({})", during,
                                         cudaGetErrorString(error), cudaGetErrorName(error)));
            context.release_host(host, 100);
            // Buffer, recording and context are given back without a word.
        }
        CHECK(machine().used == before);
    }
}

TEST_CASE("after a failure for good every call says so, and giving back what there is does not fail") {
    check_lost("mark a point", [](auto& context, auto&) { context.synchronize(); });
    check_lost("get GPU memory", [](auto& context, auto&) { context.allocate(100); });
    check_lost("get page-locked host memory", [](auto& context, auto&) { context.allocate_host(100); });
    check_lost("ask for free memory", [](auto& context, auto&) { context.free_bytes(); });
    check_lost("copy to the GPU",
               [](auto& context, auto& a) { context.upload(a.buffer.template as<>(), &context, 4); });
    check_lost("wait for inputs", [](auto& context, auto& a) { context.feed(a.buffer.template as<>(), &context, 4); });
    check_lost("record calls", [](auto& context, auto&) { context.record([] {}); });
    check_lost("launch a kernel (rows.cu:7)",
               [](auto&, auto&) { check_launch(cudaStreamQuery(nullptr), "rows.cu", 7); });
    check_lost("multiply matrices", [](auto& context, auto&) { context.require_device("multiply matrices"); });
}

TEST_CASE("a device that is lost while calls are recorded") {
    const ScopedMachine scope;
    CudaContext context;
    CHECK_THROWS_AS(context.record([] { machine().lost = cudaErrorIllegalAddress; }), DeviceLost);
}

TEST_CASE("a launch that is refused is no lost device") {
    const ScopedMachine scope;
    CudaContext context;
    check_launch(cudaSuccess, "rows.cu", 7);
    CHECK_THROWS_WITH_AS(check_launch(cudaErrorLaunchOutOfResources, "rows.cu", 7),
                         "CUDA: cannot launch a kernel (rows.cu:7): too many resources requested for launch "
                         "(cudaErrorLaunchOutOfResources)",
                         Error);
    context.require_device("go on");
    machine().pace = Pace::late_kernels;
    Floats a(context, 3);  // is being cleared
    context.require_device("go on");
}

TEST_CASE("no GPU that can be used: why") {
    const ScopedMachine scope;
    const auto why_not = [](auto&& change) {
        const ScopedMachine inner;
        change(machine());
        std::string why;
        CHECK_FALSE(find_cuda_device(why).has_value());
        CHECK(message_of([] { CudaContext context; }) == (change(machine()), why));
        CHECK(cudaGetLastError() == cudaSuccess);
        return why;
    };
    CHECK(why_not([](auto& m) { m.driver = 0; }) == "there is no NVIDIA driver on this machine");
    CHECK(why_not([](auto& m) {
              m.driver = 11080;
          }).starts_with("the NVIDIA driver is for CUDA 11.8, this program needs one for CUDA 1"));
    CHECK(why_not([](auto& m) { m.devices = 0; }) ==
          "CUDA sees no GPU on this machine (CUDA_VISIBLE_DEVICES may hide it)");
    CHECK(why_not([](auto& m) { m.failing["cudaGetDeviceCount"] = cudaErrorStubLibrary; }) ==
          "the libcuda that was found is the toolkit's stub, not a driver's");
    CHECK(why_not([](auto& m) { m.failing["cudaGetDeviceCount"] = cudaErrorInitializationError; }) ==
          "CUDA cannot be used: initialization error (cudaErrorInitializationError)");
    CHECK(why_not([](auto& m) { m.failing["cudaMemGetInfo"] = cudaErrorMemoryAllocation; }) ==
          "the GPU's memory is full: other processes hold it (nvidia-smi lists them)");
    const auto busy = [&](cudaComputeMode mode) {
        return why_not([mode](auto& m) {
            m.compute_mode = mode;
            m.failing["cudaSetDevice"] = cudaErrorDevicesUnavailable;
        });
    };
    CHECK(busy(cudaComputeModeExclusiveProcess) ==
          "the GPU's compute mode is exclusive, and another process has it (nvidia-smi lists it)");
    CHECK(busy(cudaComputeModeProhibited) ==
          "the GPU's compute mode is prohibited: nobody may compute on it (nvidia-smi --compute-mode)");
    CHECK(busy(cudaComputeModeDefault).starts_with("the GPU is busy or has failed"));
    CHECK(why_not([](auto& m) { m.failing["cudaFuncGetAttributes"] = cudaErrorUnsupportedPtxVersion; })
              .starts_with("the NVIDIA driver, for CUDA 13.0, cannot translate this program's code for the compute "
                           "capability 9.0 of the GPU, Imaginary GPU: a driver for CUDA 1"));
    CHECK(why_not([](auto& m) { m.major = 7; }) == "the GPU, Imaginary GPU, has compute capability 7.0; 7.5 is needed");
    CHECK(why_not([](auto& m) { m.has_code = false; }) ==
          "this program has no code for the compute capability 9.0 of the GPU, Imaginary GPU: build it with "
          "-DDROPFORGE_CUDA_ARCHITECTURES=90");
}

TEST_CASE("a GPU that can be used: its figures") {
    std::string why;
    const std::optional<CudaDevice> device = find_cuda_device(why);
    REQUIRE(device.has_value());
    CHECK(why.empty());
    CHECK(device->compute_capability == 90);
    CHECK(device->sm_count == 132);
    CHECK(device->memory == int64_t{8} << 30);
    CHECK(device->free_memory == device->memory - machine().used);
    CHECK(device->clock_mhz == 1980);
    CHECK(device->memory_gb_per_s == doctest::Approx(3352.32));
}

TEST_CASE("a library that is nowhere: what was looked for where; one that is no library: why") {
    const TemporaryFolder folder;
    setenv("DROPFORGE_CUDA_LIBRARIES", folder.path().c_str(), 1);
    const auto open = [] { Library::open({"libdropforge-none.so.2", "libdropforge-none.so.1"}); };
    const std::string missing = message_of(open);
    CHECK(
        missing.starts_with(fmt::format("cannot open libdropforge-none.so.2 or libdropforge-none.so.1: looked in {}, "
                                        "the system's folders",
                                        folder.path().string())));
    CHECK(missing.ends_with("(DROPFORGE_CUDA_LIBRARIES can name a folder)"));
    write_text(folder / "libdropforge-none.so.1", "no library\n");
    const std::string damaged = message_of(open);
    CHECK(damaged.find((folder / "libdropforge-none.so.1").string() + ": ") != std::string::npos);
    unsetenv("DROPFORGE_CUDA_LIBRARIES");
    const Library maths = Library::open({"libm.so.6"});
    double (*root)(double) = nullptr;
    maths.find("sqrt", root);
    CHECK(root(9) == 3);
    CHECK(message_of([&] { maths.find("no_such_function", root); }) ==
          fmt::format("{} has no function no_such_function", maths.path()));
}

}  // namespace
}  // namespace dropforge::kernels::on_cuda
