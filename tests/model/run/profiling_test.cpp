// What a profiler sees: ranges around ops, the steps that --profile-steps names, and the table made of ncu's CSV.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "engine/buffer.h"
#include "engine/executor.h"
#include "kernels/cpu/context.h"
#include "model/run/pretraining.h"
#include "tests/support/paths.h"
#include "tests/support/pretrain_fixture.h"
#include "tests/support/shell.h"
#ifdef DROPFORGE_CUDA_EMULATED
#include "kernels/cuda/emulator/mock_runtime.h"
#include "kernels/cuda/runtime/context.h"
#endif

using namespace dropforge;
using namespace dropforge::test;

namespace {

/// Writes down what happens; records, as a GPU does.
class Watched : public kernels::Context {
  public:
    std::string seen;

    void begin_range(const char* name) override { seen += std::string(name) + "("; }
    void end_range() override { seen += ")"; }
    std::unique_ptr<kernels::Recording> record(const std::function<void()>& calls) override {
        calls();
        seen.clear();
        return std::make_unique<Replay>(*this);
    }

  private:
    class Replay : public kernels::Recording {
      public:
        explicit Replay(Watched& context) : context_(context) {}
        void run() override { context_.seen += "replay"; }

      private:
        Watched& context_;
    };
};

/// What happened to the contexts of this test: Programs that ran in ranges, and on and off of the profiler.
std::string& log() {
    static std::string text;
    return text;
}

/// The CPU under the name of a GPU, with its eyes open.
class Logging : public kernels::on_cpu::CpuContext {
  public:
    void begin_range(const char* name) override {
        if (depth_++ == 0) log() += name[0];
    }
    void end_range() override { --depth_; }
    void profiler(bool on) override { log() += on ? '(' : ')'; }

  private:
    int depth_ = 0;
};

PretrainOptions run_of(const Place& place, int64_t steps) {
    static const kernels::KernelTable table = [] {
        kernels::KernelTable logging = kernels::cpu();
        logging.create_context = []() -> std::unique_ptr<kernels::Context> { return std::make_unique<Logging>(); };
        return logging;
    }();
    PretrainOptions o;
    o.config = RunConfig::load("bert-tiny");
    o.out = place.out;
    o.quiet = true;
    std::vector<Setting> settings;
    for (const char* setting : {"model.hidden=32", "model.max_positions=64", "data.sequence=32", "train.batch=4",
                                "train.warmup_steps=2", "train.precision=f32"})
        settings.push_back(Setting::parse(setting));
    settings.push_back(Setting::parse("data.path=" + place.data.string()));
    settings.push_back(Setting::parse(fmt::format("train.steps={}", steps)));
    o.config.set(settings);
    o.device.kind = "cuda";
    o.device.kernels = &table;
    return o;
}

const std::string kNcuTable = std::string(kTestData) + "/../../scripts/reports/ncu_table.py";

Outcome ncu_table(const std::string& input) { return run_shell("printf '%s' '" + input + "' | python3 " + kNcuTable); }

}  // namespace

TEST_CASE("a profiled program runs op by op in ranges, neighbours of one layer in one; else it is replayed") {
    Program program("dense step");
    const Tensor x = program.bound("x", DType::f32, {1});
    for (const char* name : {"embed", "layer0/fc1", "layer0/fc2", "layer1/fc1", "full/layer0/fc1", "loss"})
        program.add(name, {{x}, {x}}, [name](const Run& run) {
            static_cast<Watched&>(run.context).seen += name[0];  // its first letter
        });
    const MemoryPlan plan = plan_memory(program);
    const kernels::KernelTable table{};
    Watched context;
    Executor executor(program, plan, nullptr, table, context);
    float value = 0;
    executor.bind("x", &value);
    const auto run = [&] {
        context.seen.clear();
        executor.run();
        return context.seen;
    };
    const std::string ranges =
        "dense step(embed(e)layer0(layer0/fc1(l)layer0/fc2(l))layer1(layer1/fc1(l))"
        "full/layer0(full/layer0/fc1(f))loss(l))";
    executor.profile(true);  // also before the first run
    CHECK(run() == ranges);
    executor.profile(false);
    CHECK(run() == "replay");
    executor.profile(true);
    CHECK(run() == ranges);
    executor.profile(false);
    CHECK(run() == "replay");
}

#ifdef DROPFORGE_CUDA_EMULATED
TEST_CASE("a CUDA context tells the profiler once what was queued is done, and may open ranges without one") {
    const simt::ScopedMachine restore;
    simt::machine().pace = simt::Pace::late_kernels;
    kernels::on_cuda::CudaContext context;
    bool profiled = true, done = false;
    simt::enqueue(context.stream(), [&] {
        profiled = simt::machine().profiled;
        done = true;
    });
    context.profiler(true);
    CHECK(done);
    CHECK_FALSE(profiled);
    CHECK(simt::machine().profiled);
    context.begin_range("layer0");
    context.end_range();
    simt::enqueue(context.stream(), [&] { profiled = simt::machine().profiled; });
    context.profiler(false);
    CHECK(profiled);
    CHECK_FALSE(simt::machine().profiled);
}
#endif

TEST_CASE("--profile-steps: what it takes, and that it is for GPUs") {
    const Place place;
    for (const char* wrong : {"5", "3:2", "0:2", "1:2:3", "1:x", ":2", "-1:2", "1:2x"})
        check_refused(place.command(5, {"--profile-steps", wrong}), 2, {wrong, "FIRST:LAST"});
    check_refused(place.command(5, {"--device", "cpu", "--profile-steps", "2:3"}), 1,
                  {"--profile-steps needs --device cuda"});
    CHECK(!fs::exists(place.out));
}

TEST_CASE("the profiler is on for the steps that are named, in a run that is resumed too") {
    const Place place;
    const auto run = [&](int64_t steps, int64_t first, int64_t last, int64_t trace = 0) {
        PretrainOptions o = run_of(place, steps);
        o.profile_first = first;
        o.profile_last = last;
        o.trace_steps = trace;
        log().clear();
        pretrain(o);
        return log();
    };
    CHECK(run(4, 2, 3) == "(dodo)");  // dense step and optimizer step, twice
    CHECK_THROWS_WITH_AS(run(6, 4, 5), "--profile-steps begins at step 4, this run goes on with step 5", Error);
    CHECK_THROWS_WITH_AS(run(6, 6, 7), "--profile-steps 6:7: the run has 6 steps", Error);
    CHECK_THROWS_WITH_AS(run(6, 6, 6, 2), "--profile-steps begins at step 6, which --trace clocks", Error);
    CHECK(run(6, 5, 6) == "(dodo)");
    CHECK(run(8, 8, 8, 1) == "(do)");
    CHECK(run(9, 0, 0).empty());
}

TEST_CASE("ncu_table.py: the columns of bench kernels from ncu's CSV") {
    const Outcome outcome = run_shell("python3 " + kNcuTable + " " + kTestData + "/profile/ncu.csv");
    CHECK(outcome.exit_code == 0);
    CHECK(outcome.text ==
          "5 launches of 3 kernels, 1.0380 ms\n"
          "layer0/fc1                           x1         compute    1.0000 ms (best    1.0000)      60.0 GB/s      "
          "62 %\n"
          "layer0/attention_norm                x3         memory     0.0120 ms (best    0.0100)    2083.3 GB/s      "
          "78 %\n"
          "void f<\"a, b\", 3>(float*)            x1         compute    0.0020 ms (best    0.0020)       0.0 GB/s      "
          " 0 "
          "%\n");
    const std::string header =
        R"("Kernel Name","gpu__time_duration.sum","dram__bytes_read.sum","dram__bytes_write.sum",)"
        R"("dram__throughput.avg.pct_of_peak_sustained_elapsed","sm__throughput.avg.pct_of_peak_sustained_elapsed")"
        "\n";
    const std::string units = "\"\",\"ns\",\"byte\",\"Kbyte\",\"%\",\"%\"\n";
    CHECK(
        ncu_table(header + units + "\"k\",\"2000\",\"3000\",\"1.0\",\"50\",\"7\"\n").text.find("2.0 GB/s      50 %") !=
        std::string::npos);
    CHECK(ncu_table("no table\n").text == "no table: expected what ncu writes with --csv --page raw\n");
    CHECK(ncu_table(header + units).text == "no launch in the table\n");
    CHECK(ncu_table("\"Kernel Name\",\"x\"\n\"\",\"\"\n").text == "there is no column gpu__time_duration.sum\n");
    CHECK(ncu_table(header + units + "\"k\",\"n/a\",\"1\",\"1\",\"1\",\"1\"\n").text ==
          "k: gpu__time_duration.sum is \"n/a\", expected a number\n");
    CHECK(ncu_table(header + units + "\"k\",\"1\"\n").text == "line 3: expected 6 fields, got 2\n");
    for (const char* wrong : {"no table\n", ""}) CHECK(ncu_table(wrong).exit_code != 0);
}
