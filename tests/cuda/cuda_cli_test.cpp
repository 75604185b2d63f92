// The commands on an imaginary GPU (kernels/cuda/emulator), in this process: which device is chosen and why, what is
// said when a GPU is too small or fails, TF32.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "engine/safetensors.h"
#include "kernels/cuda/emulator/mock_runtime.h"
#include "model/checkpoint/manifest.h"
#include "model/run/folder.h"
#include "tests/support/metrics_page.h"
#include "tests/support/paths.h"
#include "tests/support/pretrain_fixture.h"

int dropforge_main(int argc, char** argv);  // apps/dropforge.cpp

using namespace dropforge;
using namespace dropforge::test;
using simt::machine;
using simt::ScopedMachine;

namespace {

[[maybe_unused]] const int no_restart = setenv("GOMP_SPINCOUNT", "1000", 0);

/// Where a stream of this process goes while this lives.
class Redirected {
  public:
    Redirected(std::FILE* stream, const fs::path& to) : stream_(stream), before_(dup(fileno(stream))) {
        std::fflush(stream_);
        const int file = open(to.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
        dup2(file, fileno(stream_));
        close(file);
    }
    ~Redirected() {
        std::fflush(stream_);
        dup2(before_, fileno(stream_));
        close(before_);
    }
    Redirected(const Redirected&) = delete;
    Redirected& operator=(const Redirected&) = delete;

  private:
    std::FILE* stream_;
    int before_;
};

/// As the real program, on the imaginary GPU.
CommandResult on_gpu(const Arguments& arguments) {
    const TemporaryFolder folder;
    std::vector<std::string> words = Arguments{"dropforge"} + arguments;
    std::vector<char*> argv;
    argv.reserve(words.size());
    for (std::string& word : words) argv.push_back(word.data());
    CommandResult result;
    {
        const Redirected out(stdout, folder / "out"), error(stderr, folder / "err");
        result.exit_code = dropforge_main(static_cast<int>(argv.size()), argv.data());
    }
    result.out = read_text(folder / "out");
    result.error = read_text(folder / "err");
    return result;
}

/// The one line that a command ends with when it fails.
std::string failure_of(const CommandResult& result) {
    CHECK(result.exit_code == 1);
    CHECK(result.out == "");
    const size_t begin = result.error.find("error: ");
    REQUIRE_MESSAGE(begin != std::string::npos, result.error);
    CHECK((begin == 0 || result.error[begin - 1] == '\n'));
    const std::string line = result.error.substr(begin + 7);
    CHECK(line.find('\n') == line.size() - 1);
    return line.substr(0, line.size() - 1);
}

CommandResult succeed_on_gpu(const Arguments& arguments) {
    CommandResult result = on_gpu(arguments);
    REQUIRE_MESSAGE(result.exit_code == 0, result.error);
    return result;
}

/// All files and folders below.
std::set<std::string> names_in(const fs::path& folder) {
    std::set<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(folder))
        names.insert(entry.path().lexically_relative(folder).string());
    return names;
}

/// A run in f32 on the GPU that writes a checkpoint every two steps; the place's, or one in another folder.
Arguments run(const Place& place, int64_t steps, const Arguments& more = {}, const fs::path& out = {}) {
    return pretrain_arguments(place.data, out.empty() ? place.out : out, steps) +
           Arguments{"--device",           "cuda",  "--precision", "f32",   "--set",
                     "checkpoint.every=2", "--set", "log.every=1", "--set", "eval.every=0"} +
           more;
}

/// Fails for good at the call of that number of that function, counted from now on.
void lose(const std::string& function, int64_t call, cudaError_t error) {
    machine().watch = [=, calls = int64_t{0}](const std::string& name) mutable {
        if (name == function && ++calls == call) machine().lost = error;
    };
}

constexpr int64_t kMemory = 600 << 20;  // so that the GEMM that measures the peak rate is not large

}  // namespace

TEST_CASE("a GPU that cannot be used: --device auto takes the CPU and says why, --device cuda is refused") {
    const Place place;
    const auto check = [&](const std::function<void()>& change, const std::string& why) {
        const ScopedMachine scope;
        change();
        CHECK(failure_of(on_gpu(place.command(2, {"--device", "cuda"}))) == "--device cuda: " + why);
        CHECK(!fs::exists(place.out));
        change();
        const CommandResult on_cpu = succeed_on_gpu(place.command(2, {"--device", "auto", "--dry-run"}));
        CHECK(contains(on_cpu.out, "device     cpu: "));
        CHECK(contains(on_cpu.out, " (no GPU: " + why + ")\n"));
    };
    const std::string needed = fmt::format("{}.{}", CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
    check([] { machine().driver = 0; }, "there is no NVIDIA driver on this machine");
    check([] { machine().driver = 11080; },
          fmt::format("the NVIDIA driver is for CUDA 11.8, this program needs one for CUDA {} or newer", needed));
    check([] { machine().major = 7; }, "the GPU, Imaginary GPU, has compute capability 7.0; 7.5 is needed");
    check([] { machine().has_code = false; },
          "this program has no code for the compute capability 9.0 of the GPU, Imaginary GPU: build it with "
          "-DDROPFORGE_CUDA_ARCHITECTURES=90");
    check(
        [] {
            machine().compute_mode = cudaComputeModeExclusiveProcess;
            machine().failing["cudaSetDevice"] = cudaErrorDevicesUnavailable;
        },
        "the GPU's compute mode is exclusive, and another process has it (nvidia-smi lists it)");
}

TEST_CASE("a run that does not fit into the GPU's memory: what it needs, what is free, what takes less") {
    const Place place;
    const ScopedMachine scope;
    machine().memory = machine().used + 300'000'000;
    const std::string error = failure_of(on_gpu(run(place, 2)));
    for (const char* part : {"the run needs ", "kernels and their scratch 537)", ", 300 of 300 MB are available; ",
                             "not even the smallest model would fit"})
        CHECK_MESSAGE(contains(error, part), error);
    machine().memory = machine().used + 1'000'000'000;
    machine().used += 700'000'000;  // another process's
    CHECK(contains(failure_of(on_gpu(run(place, 2))),
                   ", 300 of 1000 MB are available, other processes hold the rest (nvidia-smi lists them); "));
    machine().used -= 700'000'000;
    CHECK(!fs::exists(place.out));
}

TEST_CASE("memory that is gone when a run takes it: an error, and no folder") {
    const Place place;
    for (const int64_t call : {1, 2, 6, 9}) {
        const ScopedMachine scope;
        machine().memory = machine().used + kMemory;
        const int64_t used = machine().used;
        machine().watch = [=, calls = int64_t{0}](const std::string& name) mutable {
            if (name == "cudaMalloc" && ++calls == call) machine().failing[name] = cudaErrorMemoryAllocation;
        };
        CHECK(failure_of(on_gpu(run(place, 2))).starts_with("cannot get "));
        CHECK(!fs::exists(place.out));
        CHECK(machine().used == used);
    }
}

TEST_CASE("a GPU that fails while training: what failed, after which step, what stays, and how to go on") {
    const Place place;
    const ScopedMachine scope;
    machine().memory = machine().used + kMemory;
    const fs::path undisturbed = place.folder / "undisturbed";
    succeed_on_gpu(run(place, 6, {}, undisturbed));
    const int64_t used = machine().used;

    lose("cudaGraphLaunch", 12, cudaErrorECCUncorrectable);
    const std::string error = failure_of(on_gpu(run(place, 6)));
    const std::string checkpoint = place.checkpoint(4).string();
    CHECK_MESSAGE(error.starts_with("after step 4: "), error);
    for (const std::string& part :
         {std::string(": CUDA: the GPU has failed, noticed on trying to run a recording: uncorrectable ECC error "
                      "encountered (cudaErrorECCUncorrectable); the run stops and its last checkpoint stays: ") +
              checkpoint + "; go on with: dropforge pretrain bert-tiny ",
          std::string(" --resume auto")})
        CHECK_MESSAGE(contains(error, part), error);
    CHECK(machine().used == used);
    require_intact(checkpoint);
    CHECK(list_checkpoints(place.out).back().path == checkpoint);

    machine().lost = cudaSuccess;  // a new process, on a GPU that is well again
    machine().watch = nullptr;
    succeed_on_gpu(run(place, 6, {"--resume", "auto"}));
    CHECK(metrics_of(place.out) == metrics_of(undisturbed));
    CHECK(read_text(place.checkpoint(6) / "model.safetensors") ==
          read_text(undisturbed / "checkpoints/step-00000006/model.safetensors"));
}

TEST_CASE("whenever a GPU fails, a run ends with one line, and what is in its folder is whole") {
    const Place place;
    int64_t failures = 0;
    for (const auto& [name, calls] : {std::pair("cudaEventSynchronize", std::vector<int64_t>{1, 9, 20, 31, 39}),
                                      std::pair("cudaMemcpyAsync", std::vector<int64_t>{3, 40, 70}),
                                      std::pair("cudaStreamBeginCapture", std::vector<int64_t>{1, 2}),
                                      std::pair("cudaStreamEndCapture", std::vector<int64_t>{1}),
                                      std::pair("cudaMalloc", std::vector<int64_t>{1, 4})}) {
        for (const int64_t call : calls) {
            const char* function = name;  // a lambda cannot capture a structured binding in clang 14
            CAPTURE(function);
            CAPTURE(call);
            const ScopedMachine scope;
            machine().memory = machine().used + kMemory;
            const int64_t used = machine().used;
            lose(function, call, cudaErrorIllegalAddress);
            const std::string error = failure_of(on_gpu(run(place, 6)));
            CHECK_MESSAGE(contains(error, "CUDA: the GPU has failed, noticed on trying to "), error);
            CHECK_MESSAGE(contains(error, "(cudaErrorIllegalAddress)"), error);
            CHECK(machine().used == used);
            ++failures;
            if (!fs::exists(place.out)) continue;
            for (const Checkpoint& c : list_checkpoints(place.out)) require_intact(c.path);
            for (const std::string& name : names_in(place.out)) CHECK_MESSAGE(!contains(name, ".tmp"), name);
            fs::remove_all(place.out);
        }
    }
    CHECK(failures == 13);
}

TEST_CASE("a run in fp16: docs/metrics.md has the keys of its lines, and no others") {
    const Place place;
    const ScopedMachine scope;
    machine().memory = machine().used + kMemory;
    succeed_on_gpu(
        place.command(2, {"--device", "cuda", "--precision", "fp16", "--set", "log.every=1", "--set", "eval.every=2"}));
    check_keys(place.out, {"dense", "fp16"});
}

TEST_CASE("--version names the backend") {
    CHECK(contains(on_gpu({"--version"}).out, "\nbackends      cpu; cuda by the emulator\n"));
}

TEST_CASE("a GPU that fails in a step that is clocked: the operation is named") {
    const Place place;
    const ScopedMachine scope;
    machine().memory = machine().used + kMemory;
    // In the first step: after it the GEMM peak is measured, with as many calls as there is time for.
    lose("cudaEventSynchronize", 40, cudaErrorIllegalAddress);
    const std::string error = failure_of(on_gpu(run(place, 6, {"--trace", "6"})));
    CHECK_MESSAGE(contains(error, ": at op "), error);
    // On trying to wait for the GPU, or to time a GEMM: how many are timed before depends on the machine's load.
    CHECK_MESSAGE(contains(error, "noticed on trying to "), error);
    CHECK_MESSAGE(contains(error, ": an illegal memory access"), error);
}

/// The relative error of a product: either operand is rounded to 10 bits of fraction, by 2^-11 at most.
constexpr double kTf32 = 0x1p-10;

TEST_CASE("--tf32: GEMMs of f32 numbers are rounded, and the run says so") {
    const Place place;
    const ScopedMachine scope;
    machine().memory = machine().used + kMemory;
    succeed_on_gpu(run(place, 2));
    const fs::path other = place.folder / "tf32";
    const CommandResult result = succeed_on_gpu(run(place, 2, {"--tf32"}, other));
    CHECK(contains(result.error, "precision  f32, as asked for; GEMMs in TF32, "));
    CHECK(contains(read_text(other / "kernels.tsv"), " tf32 "));
    CHECK(!contains(read_text(place.out / "kernels.tsv"), "tf32"));
    CHECK(contains(read_text(other / "config.toml"), "tf32 = true"));
    const auto exact = metrics_lines(place.out), rounded = metrics_lines(other);
    const double a = exact.back()["loss"], b = rounded.back()["loss"];
    CHECK(a != b);
    CHECK(b == doctest::Approx(a).epsilon(kTf32));
    CHECK(contains(failure_of(on_gpu(run(place, 4, {}, other))), "train.tf32"));  // is another run

    const auto loss = [&](const Arguments& more) {
        const CommandResult result =
            succeed_on_gpu(Arguments{"evaluate", "--model", place.checkpoint(2).string(), "--data", place.data.string(),
                                     "--sequence", "32", "--sequences", "8", "--device", "cuda", "--json"} +
                           more);
        return nlohmann::json::parse(result.out).at("mlm_loss").get<double>();
    };
    CHECK(loss({}) != loss({"--tf32"}));
    CHECK(loss({"--tf32"}) == doctest::Approx(loss({})).epsilon(kTf32));
}

TEST_CASE("parity --tf32 shows the effect of rounding the operands of GEMMs") {
    const TemporaryFolder folder;
    const fs::path golden = fs::path(kTestData) / "parity" / "a";
    const auto embeddings_and_last = [&](const Arguments& more) {
        const fs::path out = folder / "result";
        succeed_on_gpu(Arguments{"parity", "--model", golden.string(), "--batch",
                                 (golden / "batch.safetensors").string(), "--out", out.string(), "--device", "cuda"} +
                       more);
        return read_text(out);
    };
    CHECK(embeddings_and_last({}) != embeddings_and_last({"--tf32"}));
}

TEST_CASE("--tf32 is for f32 numbers on a GPU that has it") {
    const Place place;
    const ScopedMachine scope;
    machine().memory = machine().used + kMemory;
    const std::string numbers = "--tf32 is for GEMMs of f32 numbers: add --precision f32";
    const std::string needs =
        "--tf32 needs a GPU of compute capability 8.0 or more (--device cuda), the run is on the ";
    const auto refused = [&](const Arguments& more) { return failure_of(on_gpu(place.command(2, more))); };
    CHECK(refused({"--device", "cuda", "--precision", "bf16", "--tf32"}) == numbers);
    CHECK(refused({"--device", "cuda", "--tf32"}) == numbers);  // auto is bf16 there
    CHECK(refused({"--device", "cpu", "--precision", "f32", "--tf32"}).starts_with(needs + "cpu: "));
    CHECK(refused({"--device", "cpu", "--precision", "f32", "--set", "train.tf32=true"}).starts_with(needs + "cpu: "));
    machine().major = 7;
    machine().minor = 5;
    CHECK(refused({"--device", "cuda", "--precision", "f32", "--tf32"}).starts_with(needs + "cuda: Imaginary GPU"));
    CHECK(!fs::exists(place.out));
}

TEST_CASE("fill and embed on a GPU give what they give on the CPU") {
    const Place place;
    const ScopedMachine scope;
    machine().memory = machine().used + kMemory;
    succeed_on_gpu(run(place, 2));
    const std::string model = place.checkpoint(2).string(), text = (place.folder / "lines.txt").string();
    write_text(text, "bane tilo\n\nmurake\n");
    const auto likeliest = [&](const std::string& device) {
        const CommandResult result = succeed_on_gpu(
            {"fill", "--model", model, "--device", device, "--top", "1", "--json", "bane [MASK] tilo", "[MASK]"});
        return nlohmann::json::parse(result.out)[0]["masks"][0][0]["probability"].get<double>();
    };
    CHECK(likeliest("cuda") == doctest::Approx(likeliest("cpu")).epsilon(1e-4));
    const auto vectors = [&](const std::string& device, const std::string& pool) {
        const fs::path out = place.folder / (device + pool);
        succeed_on_gpu({"embed", "--model", model, "--text", text, "--out", out.string(), "--batch", "2", "--pool",
                        pool, "--device", device});
        const std::string bytes = read_text(out).substr(128);
        std::vector<float> values(bytes.size() / sizeof(float));
        std::memcpy(values.data(), bytes.data(), bytes.size());
        return values;
    };
    for (const char* pool : {"mean", "cls"}) {
        const std::vector<float> gpu = vectors("cuda", pool), cpu = vectors("cpu", pool);
        REQUIRE(gpu.size() == 3 * 32);
        REQUIRE(cpu.size() == gpu.size());
        // f32 rounding of vectors of about 1: two layers, each with sums of up to 512 products.
        for (size_t i = 0; i < gpu.size(); ++i) CHECK(std::abs(gpu[i] - cpu[i]) <= 2 * 512 * 0x1p-24);
    }
    machine().major = 7;  // 7.5 has no bf16
    machine().minor = 5;
    CHECK(contains(failure_of(on_gpu({"fill", "--model", model, "--device", "cuda", "--precision", "bf16", "[MASK]"})),
                   "bf16"));
}
