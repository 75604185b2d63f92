#include "finetune/finetuning.h"

#include "base/error.h"
#include "finetune/record.h"
#include "finetune/task_training.h"

namespace dropforge {

namespace {

FileCounts counts_of(const TaskData& data) {
    return {.examples = std::ssize(data.file.examples),
            .items = std::ssize(data.items.items),
            .truncated = data.items.truncated,
            .skipped = data.file.skipped};
}

/// Resumed checkpoints are of no use to a run that is done.
void remove_checkpoints(const fs::path& out) { fs::remove_all(out / "checkpoints"); }

SeedResult train_seed(const FinetuneOptions& options, FinetunePlan& plan, const fs::path& out, ProgressLine& line) {
    RunFolder folder(out, finetuning_record(options, plan.config, plan.labels()), true);
    TaskTraining task(options, plan, out, line);
    const RunOptions run_options{.out = out, .quiet = options.quiet};
    const int64_t epoch = plan.steps_per_epoch();
    TrainingRun run(
        run_options,
        {.steps = plan.steps(), .log_every = plan.config.log.every, .evaluate_every = epoch, .checkpoint_every = epoch},
        folder, line, task);
    if (!run.finished()) run.train();
    task.publish();
    return task.result();
}

}  // namespace

FinetuneResult finetune(const FinetuneOptions& options) {
    const fs::path result_file = options.out / "result.json";
    require(!fs::exists(result_file), "{} is there already: choose another --out", result_file.string());
    FinetunePlan plan(options);
    ProgressLine line(stderr, options.quiet);
    for (const std::string& note : plan.notes) line.note(note);
    FinetuneResult result{.task = options.task.name,
                          .kind = plan.task().kind,
                          .labels = plan.labels(),
                          .train = counts_of(plan.files.training),
                          .eval = counts_of(plan.files.evaluated)};
    std::vector<fs::path> folders;
    const int64_t first = plan.config.train.seed;
    for (int64_t seed = first; seed < first + options.seeds; ++seed) {
        plan.config.train.seed = seed;
        plan.step.seed = static_cast<uint64_t>(seed);
        folders.push_back(options.seeds == 1 ? options.out : options.out / fmt::format("seed-{}", seed));
        if (options.seeds > 1) line.note(fmt::format("seed {}", seed));
        result.seeds.push_back(train_seed(options, plan, folders.back(), line));
    }
    write_text(result_file, result.to_json());
    for (const fs::path& folder : folders) remove_checkpoints(folder);
    return result;
}

}  // namespace dropforge
