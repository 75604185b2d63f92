// What the tests of task heads and of their steps share: made-up items of every kind of task, and steps over them.
#pragma once

#include <algorithm>
#include <vector>

#include "finetune/plan.h"
#include "finetune/task_step.h"
#include "tests/support/step_fixture.h"

namespace dropforge::test {

/// A task of every kind, by its name.
constexpr const char* kMadeUpTasks[] = {"single", "regression", "choice", "token", "squad"};

/// Items of random ids for small_config(), the head that learns from them, and the weights of its classes.
class MadeUpTask {
  public:
    static constexpr int64_t kLongest = 24;  // pieces of a sequence

    explicit MadeUpTask(const char* name, float dropout = 0, int64_t items = 7)
        : data{.task = tasks::find_task(name)}, head(make_head(data.task.kind, dropout)) {
        if (data.task.kind == tasks::Kind::single || data.task.kind == tasks::Kind::token) class_weights = {0.5, 1, 2};
        for (int64_t i = 0; i < items; ++i) add_item();
    }

    TaskLabeller labeller() const { return {data, class_weights}; }
    std::vector<const tasks::Item*> items() const {
        std::vector<const tasks::Item*> items;
        for (const tasks::Item& item : data.items.items) items.push_back(&item);
        return items;
    }
    /// Of steps over all items, each padded to `length`.
    TaskStepOptions step_options(const Parameters& parameters, int64_t micro_batch, int64_t length = kLongest) const {
        return {.batch = std::ssize(data.items.items),
                .micro_batch = micro_batch,
                .sequences = sequences_per_item(data),
                .lengths = {length},
                .segments = trained_segments(parameters, 0, 1),
                .seed = 3};
    }

    TaskData data;
    TaskHeadPointer head;
    std::vector<double> class_weights = {};

  private:
    static constexpr int64_t kClasses = 3, kChoices = 2;

    static TaskHeadPointer make_head(tasks::Kind kind, float dropout) {
        switch (kind) {
            case tasks::Kind::regression:
                return regression_head(dropout);
            case tasks::Kind::choice:
                return choice_head(kChoices, dropout);
            case tasks::Kind::token:
                return token_head(kClasses, dropout);
            case tasks::Kind::span:
                return span_head();
            default:
                return classifier_head(kClasses, dropout);
        }
    }

    int32_t below(int64_t n) { return static_cast<int32_t>(random_.below(static_cast<uint32_t>(n))); }

    tasks::Sequence make_sequence() {
        tasks::Sequence s{.ids = {kSpecial.cls}, .second = static_cast<size_t>(2 + below(3))};
        for (int64_t left = 4 + below(kLongest - 5); left > 0; --left)
            s.ids.push_back(5 + below(small_config(0).vocabulary - 5));
        s.ids.push_back(kSpecial.sep);
        return s;
    }

    void add_item() {
        tasks::Item item{.example = data.file.examples.size(), .sequences = {make_sequence()}};
        tasks::Example& example = data.file.examples.emplace_back();
        const auto length = std::ssize(item.sequences[0].ids);
        switch (data.task.kind) {
            case tasks::Kind::regression:
                example.value = below(1000) / 500.0 - 1;
                break;
            case tasks::Kind::choice:
                while (std::ssize(item.sequences) < kChoices) item.sequences.push_back(make_sequence());
                example.classes = {below(kChoices)};
                break;
            case tasks::Kind::token:  // every second piece is within a word; nothing of the first item has a label
                for (int32_t at = 1; item.example > 0 && at < length - 1; at += 2) {
                    item.words.push_back(static_cast<int32_t>(example.classes.size()));
                    item.positions.push_back(at);
                    example.classes.push_back(below(kClasses));
                }
                break;
            case tasks::Kind::span:
                item.start = below(length);
                item.end = item.start + below(length - item.start);
                break;
            default:
                example.classes = {below(kClasses)};
        }
        data.items.items.push_back(std::move(item));
    }

    PhiloxStream random_{11, 0};
};

/// A step ready to run: weights drawn from seed 1.
class ReadyTaskStep : public TaskStep {
  public:
    /// Both must outlive this.
    ReadyTaskStep(const Parameters& parameters, const MadeUpTask& task, const TaskStepOptions& options,
                  const kernels::KernelTable& table = kernels::cpu())
        : TaskStep(parameters, task.head, options, table, 0),
          parameters_(parameters),
          task_(task),
          length(options.lengths.back()) {
        parameters.initialize(states().values(), 1);
        store_states();
    }

    StepOutcome take(int64_t step, double learning_rate) {
        queue(task_.labeller(), items, length, kSpecial.pad, {.step = step, .learning_rate = learning_rate});
        StepOutcome outcome = collect();
        fetch_states();
        return outcome;
    }
    /// The loss, and in states() its gradient; the weights stay.
    double backward(int64_t step) { return take(step, 0).result.loss; }

    std::vector<float> values() { return copied(states().values()); }
    std::vector<float> gradients() { return copied(states().gradients()); }

  private:
    std::vector<float> copied(const float* from) const { return {from, from + parameters_.size()}; }

    const Parameters& parameters_;
    const MadeUpTask& task_;

  public:
    int64_t length;  // of the bucket that steps are padded to
    std::vector<const tasks::Item*> items = task_.items();
};

}  // namespace dropforge::test
