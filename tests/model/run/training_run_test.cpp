// A training run of a task of its own, without model, data or device: what the run does, whatever it trains.
#include "model/run/training_run.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <deque>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/interrupt.h"
#include "kernels/device_lost.h"
#include "tests/support/message_of.h"
#include "tests/support/run_folder_fixture.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr int64_t kSteps = 10, kEpoch = 3;

/// Gradient descent on ½(x − t)², where t is drawn anew each step. It has what fine-tuning needs: items in an order
/// that follows from the step, two kinds of step, epochs, and the best of their evaluations.
class Descent : public TrainingTask {
  public:
    void initialize() override {
        on_event("initialize", 0);
        state_ = {.x = 1};
    }
    int64_t restore(const fs::path& checkpoint) override {
        const std::string bytes = read_text(checkpoint / "trainer.safetensors");
        require(bytes.size() == sizeof state_, "{}: of another run", checkpoint.string());
        std::memcpy(&state_, bytes.data(), sizeof state_);
        return state_.step;
    }
    void save(const fs::path& folder) override {
        CHECK(queued_.empty());
        write_text(folder / "trainer.safetensors", {reinterpret_cast<const char*>(&state_), sizeof state_});
        for (const char* file : {"model.safetensors", "config.json", "vocab.txt"}) write_text(folder / file, "x");
    }

    void start() override { on_event("start", 0); }
    bool may_queue() const override { return queued_.size() < 2; }
    /// As on a device, the step changes x before its results are collected.
    void queue(int64_t step) override {
        on_event("queue", step);
        const double target = PhiloxStream(7, static_cast<uint64_t>(step)).uniform(), error = state_.x - target;
        state_.x -= 0.1 * error;
        StepOutcome outcome{};
        outcome.settings = {.step = step, .kind = step % 2 == 0 ? StepKind::dense : StepKind{1}, .learning_rate = 0.1};
        outcome.result.loss = step == fault_step ? fault_loss : error * error / 2;
        outcome.gradient_norm = step == fault_step ? fault_norm : std::abs(error);
        if (fault_scale > 0) outcome.loss_scale = fault_scale;
        queued_.push_back(outcome);
        most_queued = std::max(most_queued, queued_.size());
    }
    StepOutcome collect() override {
        const StepOutcome outcome = queued_.front();
        queued_.pop_front();
        state_.step = outcome.settings.step;
        state_.interval += outcome.result.loss;
        on_event("collect", state_.step);
        return outcome;
    }

    StepProgress progress(const TrainingSpeed& speed) const override {
        CHECK_FALSE(speed.mfu.has_value());
        return {.loss = state_.interval, .lr = 0.1, .sequences_per_second = speed.steps_per_second};
    }
    MetricsLine end_interval(const TrainingSpeed&) override {
        const nlohmann::ordered_json json = {{"step", state_.step}, {"loss", state_.interval}, {"examples", {0, 1}}};
        state_.interval = 0;
        return {.step = state_.step, .json = json.dump()};
    }
    void evaluate(MetricsLog&) override {
        CHECK(queued_.empty());
        evaluated.push_back(state_.step);
        const double distance = std::abs(state_.x - 0.5);
        if (distance >= state_.best) return;
        state_.best = distance;
        state_.best_step = state_.step;
    }
    std::vector<kernels::KernelChoice> kernel_choices() const override { return choices; }
    std::vector<std::string> take_notes() override { return {"a note"}; }
    void profile(bool on) override {
        CHECK(queued_.empty());
        profiled += fmt::format("{}{} ", on ? "from " : "to ", state_.step + (on ? 1 : 0));
    }

    int64_t best_step() const { return state_.best_step; }

    std::function<void(const std::string& event, int64_t step)> on_event = [](const std::string&, int64_t) {};
    int64_t fault_step = 0;
    double fault_loss = 1, fault_norm = 1, fault_scale = 0;
    std::vector<kernels::KernelChoice> choices = {};
    size_t most_queued = 0;
    std::vector<int64_t> evaluated = {};
    std::string profiled = {};

  private:
    struct State {
        int64_t step = 0, best_step = 0;
        double x = 0, interval = 0, best = 1e9;
    };
    State state_;
    std::deque<StepOutcome> queued_;
};

/// Runs in one folder, of one configuration.
struct Fixture {
    TemporaryFolder folder;
    RunOptions options{.out = folder / "run"};
    RunSchedule schedule{.steps = kSteps, .evaluate_every = kEpoch, .checkpoint_every = 4, .keep_last = 9};
    std::string rate = "0.1", said = {};

    void train(Descent& task) {
        const RunRecord record{.toml = "rate = " + rate + "\n",
                               .difference = [&](const std::string& recorded, const std::string&) {
                                   return recorded.ends_with("rate = " + rate + "\n") ? "" : "rate is another";
                               }};
        std::FILE* file = std::tmpfile();
        const std::unique_ptr<std::FILE, int (*)(std::FILE*)> closed(file, std::fclose);
        try {
            RunFolder run_folder(options.out, record, options.resume != "off");
            ProgressLine line(file, false, false);
            TrainingRun run(options, schedule, run_folder, line, task);
            if (!run.finished()) run.train();
            CHECK(run.step() == schedule.steps);
            CHECK(run.checkpoint() == checkpoint(schedule.steps));
        } catch (...) {
            take_said(file);
            throw;
        }
        take_said(file);
    }
    void train() {
        Descent task;
        train(task);
    }
    void take_said(std::FILE* file) {
        std::rewind(file);
        said.assign(10000, '\0');
        said.resize(std::fread(said.data(), 1, said.size(), file));
    }
    fs::path checkpoint(int64_t step) const { return options.out / fmt::format("checkpoints/step-{:08}", step); }
    std::string metrics() const { return read_text(options.out / "metrics.jsonl"); }
    std::string last_state() const { return read_text(checkpoint(kSteps) / "trainer.safetensors"); }
};

struct FinishedRun : Fixture {
    FinishedRun() { train(); }
};

/// A run that nothing stopped.
const Fixture& unbroken() {
    static const FinishedRun run;
    return run;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a run: a line a step, evaluations and checkpoints where they are due and at the end, a device kept busy") {
    Fixture run;
    Descent task;
    task.choices = {{.operation = "gemm", .library = "own kernel", .kernel = "k", .reason = "only one"}};
    run.train(task);
    CHECK(task.evaluated == std::vector<int64_t>{3, 6, 9, 10});
    CHECK(task.best_step() > 0);
    CHECK(task.most_queued == 2);
    CHECK(steps(run.options.out) == Steps{4, 8, 10});
    const std::string metrics = run.metrics();
    CHECK(std::ranges::count(metrics, '\n') == kSteps);
    CHECK(metrics.starts_with("{\"step\":1,\"loss\":"));
    CHECK(contains(metrics, "\"examples\":[0,1]}\n{\"step\":10,"));
    CHECK(contains(run.said, "a note\nstep 1/10  loss "));
    CHECK_FALSE(contains(run.said, "MFU"));
    CHECK(toml_of(run.options.out / "config.toml") == "rate = 0.1\n");
    CHECK(read_text(run.options.out / "kernels.tsv") ==
          "operation\tlibrary\tkernel\treason\ngemm\town kernel\tk\tonly one\n");

    Descent again;
    again.on_event = [](const std::string& event, int64_t) { FAIL(event); };
    run.train(again);
    CHECK(again.best_step() == task.best_step());
    CHECK(run.metrics() == metrics);
}

TEST_CASE("a run that is interrupted after any step goes on to the same bits") {
    for (const int64_t last : {1, 3, 5}) {
        CAPTURE(last);
        Fixture run;
        Descent task;
        task.on_event = [&](const std::string& event, int64_t step) {
            if (event == "collect" && step == last) raise(SIGTERM);
        };
        CHECK_THROWS_AS(run.train(task), Interrupted);
        const int64_t saved = list_checkpoints(run.options.out).back().step;
        CHECK(saved >= last);
        CHECK(saved <= last + 1);  // a step that was queued is done
        CHECK(contains(run.said, fmt::format("interrupted after step {}; its checkpoint is written\n", saved)));
        run.train();
        CHECK(contains(run.said, fmt::format("resumed after step {} from ", saved)));
        CHECK(run.metrics() == unbroken().metrics());
        CHECK(run.last_state() == unbroken().last_state());
    }
}

TEST_CASE("a run that is killed goes on to the same bits, from the checkpoint that it has") {
    for (const int64_t last : {2, 7}) {
        Fixture run;
        const pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            Descent task;
            task.on_event = [&](const std::string& event, int64_t step) {
                if (event == "collect" && step == last) raise(SIGKILL);
            };
            run.train(task);
            _exit(1);
        }
        int status = 0;
        waitpid(child, &status, 0);
        REQUIRE(WIFSIGNALED(status));
        run.train();
        CHECK(contains(run.said, "resumed after step 4 from ") == (last == 7));
        CHECK(run.metrics() == unbroken().metrics());
        CHECK(run.last_state() == unbroken().last_state());
    }
}

TEST_CASE("a loss or a gradient norm that is not finite ends the run, unless its loss scale is still being found") {
    const auto message = [](Fixture& run, int64_t step, double loss, double norm, double scale = 0) {
        Descent task;
        task.fault_step = step;
        task.fault_loss = loss;
        task.fault_norm = norm;
        task.fault_scale = scale;
        return message_of([&] { run.train(task); });
    };
    Fixture run;
    CHECK(message(run, 3, kNan, 1) == "step 3: the loss is nan; the run stops and has no checkpoint");
    CHECK(message(run, 7, 1, INFINITY) ==
          "step 7: the gradient norm is inf; the run stops and its last checkpoint stays: " +
              run.checkpoint(4).string());
    CHECK(message(run, 7, kNan, 1, 1024).starts_with("step 7: the loss is nan"));
    CHECK(message(run, 7, 1, INFINITY, kernels::LossScale::kLeast).starts_with("step 7: the gradient norm is inf"));
    CHECK(message(run, 7, 1, INFINITY, 1024).empty());
    CHECK(run.last_state() == unbroken().last_state());
}

TEST_CASE("a device that is lost: the error has the last step and the checkpoint") {
    Fixture run;
    Descent task;
    task.on_event = [](const std::string& event, int64_t step) {
        if (event == "queue" && step == 6) throw kernels::DeviceLost("bus error");
    };
    const std::string message = message_of([&] { run.train(task); });
    CHECK(contains(message, ": bus error; the run stops and its last checkpoint stays: " + run.checkpoint(4).string()));
    CHECK(message.starts_with("after step 4: "));
}

TEST_CASE("a start that fails leaves nothing in a new folder, and a folder that is there as it was") {
    Fixture run;
    const auto fails = [&](const std::string& event) {
        Descent task;
        task.on_event = [&](const std::string& what, int64_t) { require(what != event, "no {}", what); };
        return message_of([&] { run.train(task); });
    };
    for (const char* event : {"initialize", "start", "queue", "collect"}) {
        CHECK(fails(event) == fmt::format("no {}", event));
        CHECK(names_in(run.folder.path()).empty());
    }
    Descent task;
    task.choices = {{.operation = "gemm f32", .library = "own kernel", .kernel = "k", .reason = "only one"}};
    run.options.required = {"cublaslt"};
    CHECK(message_of([&] { run.train(task); }) == "--require cublaslt: gemm f32 is served by own kernel: only one");
    CHECK(names_in(run.folder.path()).empty());
    run.options.required = {};

    run.train();
    run.schedule.steps = 12;
    const std::string metrics = run.metrics(), config = read_text(run.options.out / "config.toml");
    for (const char* event : {"start", "queue", "collect"}) CHECK(fails(event) == fmt::format("no {}", event));
    run.options.resume = run.checkpoint(4).string();
    CHECK(fails("queue") == "no queue");
    run.options.resume = "auto";
    run.rate = "0.2";
    CHECK(contains(fails("queue"), "holds another run: rate is another; choose another --out"));
    CHECK(steps(run.options.out) == Steps{4, 8, 10});
    CHECK(run.metrics() == metrics);
    CHECK(read_text(run.options.out / "config.toml") == config);
}

TEST_CASE("the profiler sees the steps that are named, which no other step overlaps") {
    Fixture run;
    Descent task;
    run.options.profile_first = 3;
    run.options.profile_last = 5;
    run.train(task);
    CHECK(task.profiled == "from 3 to 5 ");
    run.schedule.steps = 12;
    CHECK(message_of([&] { run.train(); }) == "--profile-steps begins at step 3, this run goes on with step 11");
}
