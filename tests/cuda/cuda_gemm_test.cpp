// How the CUDA backend chooses the algorithms of GEMMs, and keeps the choices, on a mock of cuBLASLt whose second
// proposal is the fastest (kernels/cuda/emulator/mock_cublaslt.cpp). gemm_test.cpp checks the results.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <vector>

#include "engine/buffer.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/emulator/mock_cublaslt.h"
#include "kernels/cuda/emulator/mock_runtime.h"
#include "kernels/cuda/gemm/gemm_cache.h"
#include "kernels/cuda/gemm/gemm_problem.h"
#include "kernels/cuda/runtime/context.h"
#include "tests/support/message_of.h"
#include "tests/support/temporary_folder.h"

namespace dropforge::kernels::on_cuda {
namespace {

using simt::machine;
using simt::ScopedMachine;
using test::message_of;

constexpr const char *kTimed = "fastest of 3: 1000.0 us", *kStored = "fastest in an earlier run: 1000.0 us";

/// Sets DROPFORGE_CACHE while it lives.
class CacheFolder {
  public:
    explicit CacheFolder(const std::string& path) { setenv("DROPFORGE_CACHE", path.c_str(), 1); }
    ~CacheFolder() { setenv("DROPFORGE_CACHE", "", 1); }
    CacheFolder(const CacheFolder&) = delete;
    CacheFolder& operator=(const CacheFolder&) = delete;
};

/// [8,k]·[k,24] of ones in a new context, k = 16 at most.
struct GemmCase {
    explicit GemmCase(int64_t k = 16)
        : a(8 * 16 * 4, context), b(16 * 24 * 4, context), c(8 * 24 * 4, context), bias(25 * 4, context), k(k) {
        const std::vector<float> ones(16 * 24, 1.0f);
        context.upload(a.as<>(), ones.data(), a.bytes());
        context.upload(b.as<>(), ones.data(), b.bytes());
        context.upload(bias.as<>(), ones.data(), bias.bytes());
    }
    Gemm gemm(bool accumulate = false) const {
        return {.a = a.as<>(),
                .b = b.as<>(),
                .c = c.as<>(),
                .bias = nullptr,
                .m = 8,
                .n = 24,
                .k = k,
                .lda = 16,
                .ldb = 24,
                .ldc = 24,
                .transpose_a = false,
                .transpose_b = false,
                .accumulate = accumulate,
                .dtype = DType::f32,
                .out = DType::f32};
    }
    void run(bool accumulate = false) { cuda().gemm(gemm(accumulate), context); }
    float result() {
        float value = 0;
        context.download(&value, c.as<char>() + c.bytes() - 4, 4);
        context.synchronize();
        return value;
    }
    KernelChoice choice() const { return context.choices().at(0); }

    CudaContext context;
    Buffer a, b, c, bias;
    int64_t k;
};

std::string only_file(const TemporaryFolder& folder) {
    std::string name;
    for (const auto& entry : fs::directory_iterator(folder.path())) {
        if (entry.path().extension() == ".lock") continue;
        CHECK(name.empty());
        name = entry.path().filename();
    }
    return name;
}

TEST_CASE("the fastest proposal is taken, and trials do not add to c") {
    GemmCase p;
    CHECK(p.context.choices().empty());
    const int64_t free = p.context.free_bytes();
    p.run(true);
    CHECK(p.result() == 16);
    p.run(true);
    CHECK(p.result() == 32);
    REQUIRE(p.context.choices().size() == 1);
    CHECK(p.choice().operation == "gemm f32 8x24x16 NN +c ld 16 24 24 align 16 16 16");
    CHECK(p.choice().library.starts_with("cuBLASLt 1"));
    CHECK(p.choice().kernel == "algorithm 1, tile 0, stages 0, split-K 1");
    CHECK(p.choice().reason == kTimed);
    CHECK(p.context.free_bytes() == free);
}

TEST_CASE("without memory to time in, the first proposal") {
    const ScopedMachine scope;
    GemmCase p;
    machine().memory = machine().used + 100;
    p.run();
    CHECK(p.result() == 16);
    CHECK(p.choice().kernel == "algorithm 0, tile 0, stages 0, split-K 1");
    CHECK(p.choice().reason == "first proposal: there was no memory to time others");
}

TEST_CASE("our own kernel serves GEMMs for which the library has no algorithm") {
    GemmCase p;
    Gemm g = p.gemm();
    g.c = p.c.as<char>() + 4;  // the library has no algorithm for odd rows of 16-bit numbers
    g.dtype = g.out = DType::bf16;
    g.m = 1;
    g.n = g.ldc = g.ldb = 3;
    cuda().gemm(g, p.context);
    CHECK(p.choice().library == "own kernel");
    CHECK(p.choice().reason == "cuBLASLt has no algorithm for it");
    GemmCase none(0);
    none.run();
    CHECK(none.result() == 0);
    CHECK(none.choice().library == "own kernel");
}

TEST_CASE("a GEMM can be recorded once its algorithm is chosen, and not before") {
    GemmCase p;
    CHECK(message_of([&] { p.context.record([&] { p.run(); }); }) ==
          "GEMM f32 8x24x16 NN ld 16 24 24 align 16 16 16 is recorded before its first run, which chooses its "
          "algorithm");
    Gemm g = p.gemm(true);
    g.bias = p.bias.as<float>();
    cuda().gemm(g, p.context);
    const int64_t before = simt::cublaslt_runs();
    const auto step = p.context.record([&] {
        cuda().gemm(g, p.context);
        g.bias = p.bias.as<float>() + 1;  // not aligned to 16 bytes: is copied
        cuda().gemm(g, p.context);
    });
    CHECK(simt::cublaslt_runs() == before);
    step->run();
    CHECK(p.result() == 3 * 17);
    CHECK(simt::cublaslt_runs() == before + 2);
}

TEST_CASE("choices are kept for the next context") {
    const TemporaryFolder folder;
    const CacheFolder cache(folder / "deep");
    GemmCase first;
    first.run();
    CHECK(first.choice().reason == kTimed);
    const int64_t before = simt::cublaslt_runs();
    GemmCase second;
    second.run();
    CHECK(second.choice().reason == kStored);
    CHECK(second.choice().kernel == first.choice().kernel);
    CHECK(simt::cublaslt_runs() == before + 1);
    second.run(true);  // another key: the first stays in the file
    GemmCase third;
    third.run();
    third.run(true);
    CHECK(third.context.choices().size() == 2);
    for (const KernelChoice& choice : third.context.choices()) CHECK(choice.reason == kStored);
}

TEST_CASE("a file that is damaged, or of another machine, is replaced") {
    const TemporaryFolder folder;
    const CacheFolder cache(folder.path());
    std::string note;  // of the last context
    const auto reason = [&] {
        GemmCase p;
        p.run();
        CHECK(p.result() == 16);
        const std::vector<std::string> notes = p.context.take_notes();
        CHECK(notes.size() <= 1);
        note = notes.empty() ? "" : notes[0];
        CHECK(p.context.take_notes().empty());
        return p.choice().reason;
    };
    CHECK(reason() == kTimed);
    CHECK(note.empty());
    const fs::path file = folder / only_file(folder);
    CHECK(file.filename().string().starts_with("gemm-Imaginary-GPU-13000-"));
    const std::string good = read_text(file);
    for (const size_t at : {size_t{0}, good.size() / 3, good.size() / 2, good.size() - 2}) {  // one letter is another
        std::string bad = good;
        bad[at] ^= 1;
        write_text(file, bad);
        INFO("byte ", at);
        CHECK(reason() == kTimed);
        CHECK(note == fmt::format("GEMM algorithms are chosen again: {}: damaged", file.string()));
        CHECK(read_text(file) == good);
    }
    for (const size_t size : {size_t{0}, size_t{10}, good.size() - 1}) {
        write_text(file, good.substr(0, size));
        CHECK(reason() == kTimed);
        CHECK(read_text(file) == good);
    }
    CHECK(reason() == kStored);
    CHECK(note.empty());
    {
        const ScopedMachine scope;
        machine().name = "Imaginary/GPU";  // the same file name
        CHECK(reason() == kTimed);
        CHECK(
            note.starts_with(fmt::format("GEMM algorithms are chosen again: {}: of another machine or version "
                                         "(Imaginary GPU | driver 13000 | ",
                                         file.string())));
    }
    CHECK(reason() == kTimed);
}

TEST_CASE("a stored algorithm that the library no longer accepts is replaced") {
    const TemporaryFolder folder;
    const CacheFolder cache(folder.path());
    GemmCase first;
    first.run();
    GemmCache file("Imaginary GPU", 13000, CUBLAS_VERSION);
    const std::string key = text(GemmKey(first.gemm(), false));
    REQUIRE(file.find(key).has_value());
    CHECK(file.store(key, {.words = {1, 2, 3}, .microseconds = 1}).empty());
    GemmCase second;
    second.run();
    CHECK(second.result() == 16);
    CHECK(second.choice().reason == kTimed);
}

TEST_CASE("the bias gradient is fused into the GEMM of the weight gradient where that is faster") {
    const TemporaryFolder folder;
    const CacheFolder cache(folder.path());
    const auto run = [](bool accumulate, int64_t first = 0) {
        GemmCase p;
        Buffer scratch(column_sum_scratch_bytes(16, 8), p.context), place((first + 8) * 4, p.context);
        Gemm g = p.gemm(accumulate);
        g.transpose_a = true;
        g.lda = 8;
        g.bias_gradient = place.as<float>() + first;
        g.scratch = scratch.as<>();
        for (int turn = 0; turn < 2; ++turn) cuda().gemm(g, p.context);
        CHECK(p.result() == (accumulate ? 32 : 16));
        std::vector<float> values(8);
        p.context.download(values.data(), g.bias_gradient, 8 * 4);
        p.context.synchronize();
        for (const float value : values) CHECK(value == (accumulate ? 32 : 16));
        std::string reasons;
        for (const KernelChoice& choice : p.context.choices()) {
            INFO(choice.operation);
            const bool with_sums = choice.operation.find(" +sums ") != std::string::npos;
            reasons += fmt::format("{}: {}\n", with_sums ? "with sums" : "alone", choice.reason);
        }
        return reasons;
    };
    {
        const ScopedMachine scope;
        machine().epilogue_milliseconds = 0.5;
        CHECK(run(false) == fmt::format("alone: {}\nwith sums: faster: 1000.0 us, fused 1500.0\n", kTimed));
        CHECK(run(false) == fmt::format("alone: {0}\nwith sums: {0}\n", kStored));
        CHECK(run(true) == fmt::format("alone: {}\nwith sums: faster: 1000.0 us, fused 1500.0\n", kTimed));
    }
    fs::remove(folder / only_file(folder));
    for (const bool accumulate : {false, true}) {
        CHECK(run(accumulate) ==
              fmt::format("alone: {}\nwith sums: fastest of 3: 1000.0 us, unfused 1000.0\n", kTimed));
        CHECK(run(accumulate) == fmt::format("with sums: {}\n", kStored));
        CHECK(run(accumulate, 1) == fmt::format("with sums: {}\n", kStored));  // not aligned to 16 bytes
    }
}

TEST_CASE("split-K takes the factor that is fastest, as far as the workspace allows") {
    constexpr int64_t kLong = 1600;  // three times at least 512
    const TemporaryFolder folder;
    const CacheFolder cache(folder.path());
    for (const char* reason : {"fastest of 5: 500.0 us", "fastest in an earlier run: 500.0 us"}) {
        GemmCase p;
        const std::vector<float> ones(kLong * 24, 1.0f);
        Buffer a(kLong * 8 * 4, p.context), b(kLong * 24 * 4, p.context);
        p.context.upload(a.as<>(), ones.data(), a.bytes());
        p.context.upload(b.as<>(), ones.data(), b.bytes());
        Gemm g = p.gemm();
        g.a = a.as<>();
        g.b = b.as<>();
        g.k = g.lda = kLong;
        cuda().gemm(g, p.context);
        CHECK(p.result() == kLong);
        CHECK(p.choice().kernel == "algorithm 1, tile 0, stages 0, split-K 3");
        CHECK(p.choice().reason == reason);

        const auto factors_tried = [&](int64_t bytes) {
            const LtCall call{.handle = nullptr, .stream = nullptr, .workspace = nullptr, .workspace_bytes = bytes};
            const GemmProblem problem(GemmKey(g, false), DType::f32);
            std::string factors;
            for (const cublasLtMatmulAlgo_t& other : problem.with_other_split_k(problem.propose(g, call).at(0), call))
                factors += name_of(other).back();
            return factors;
        };
        CHECK(factors_tried(3 * 8 * 24 * 4) == "23");
        CHECK(factors_tried(3 * 8 * 24 * 4 - 1) == "2");
        CHECK(factors_tried(1).empty());
        g.k = 1000;
        CHECK(factors_tried(1 << 20).empty());
    }
}

TEST_CASE("a folder that cannot be written to is said once and does not stop a run") {
    const TemporaryFolder folder;
    write_text(folder / "file", "");
    const CacheFolder cache((folder / "file").string());
    GemmCase p;
    p.run();
    p.run(true);  // another key
    CHECK(p.result() == 32);
    for (const KernelChoice& choice : p.context.choices()) CHECK(choice.reason == kTimed);
    const std::vector<std::string> notes = p.context.take_notes();
    REQUIRE(notes.size() == 1);
    CHECK(notes[0].starts_with("the choice of algorithms is not kept for the next run: " + (folder / "file").string()));
}

TEST_CASE("concurrent processes each read an intact file, and none loses what another has added") {
    const TemporaryFolder folder;
    const CacheFolder cache(folder.path());
    constexpr int kWriters = 4, kKeys = 40;
    const auto key = [](int writer, int i) { return fmt::format("key {} of {}", i, writer); };
    std::vector<pid_t> writers;
    for (int writer = 0; writer < kWriters; ++writer) {
        const pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            GemmCache file("Imaginary GPU", 13000, 130100);
            bool good = file.trouble().empty();
            for (int i = 0; i < kKeys; ++i) {
                good = good && file.store(key(writer, i), {.words = {uint64_t(i)}, .microseconds = 1}).empty();
                good = good && GemmCache("Imaginary GPU", 13000, 130100).trouble().empty();
            }
            _exit(good ? 0 : 1);
        }
        writers.push_back(child);
    }
    for (const pid_t child : writers) {
        int status = 0;
        REQUIRE(waitpid(child, &status, 0) == child);
        CHECK(status == 0);
    }
    const GemmCache file("Imaginary GPU", 13000, 130100);
    CHECK(file.trouble().empty());
    for (int writer = 0; writer < kWriters; ++writer) {
        for (int i = 0; i < kKeys; ++i) {
            const auto found = file.find(key(writer, i));
            REQUIRE(found.has_value());
            CHECK(found->words[0] == static_cast<uint64_t>(i));
        }
    }
}

}  // namespace
}  // namespace dropforge::kernels::on_cuda
