#include "finetune/finetuning.h"

#include <algorithm>

#include "base/error.h"
#include "finetune/config/grid.h"
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

/// Removes what is of no use to a run that is done: the checkpoints it could go on from, and what a killed process had
/// half written.
void remove_leftovers(const fs::path& out) {
    std::vector<fs::path> leftovers = {out / "checkpoints"};
    for (const auto& entry : fs::directory_iterator(out))
        if (const std::string name = entry.path().filename().string(); final_name(name) != name)
            leftovers.push_back(entry.path());
    for (const fs::path& path : leftovers) fs::remove_all(path);
}

SeedResult train_seed(const FinetuneOptions& options, FinetunePlan& plan, const fs::path& out, ProgressLine& line) {
    RunFolder folder(out, finetuning_record(options, plan.config, plan.labels()), true);
    TaskTraining task(options, plan, out, line);
    const RunOptions run_options{.out = out, .quiet = options.quiet};
    const int64_t epoch = plan.steps_per_epoch();
    const RunSchedule schedule{.steps = plan.steps(),
                               .log_every = plan.config.log.every,
                               .evaluate_every = epoch,
                               .checkpoint_every = epoch,
                               .show_every = std::max<int64_t>(1, epoch / 4)};
    TrainingRun run(run_options, schedule, folder, line, task);
    if (!run.finished()) run.train();
    task.publish();
    return task.result();
}

std::string text_of(const std::vector<Setting>& point) {
    std::string text;
    for (const Setting& s : point) text += fmt::format("{}{}={}", text.empty() ? "" : " ", s.key, s.value);
    return text;
}

/// Trains every point of the grid on a part of the training file, and measures it on the other. The first of the best
/// is chosen.
std::vector<GridPoint> measure_grid(const FinetuneOptions& options, ProgressLine& line) {
    std::vector<GridPoint> results;
    for (const std::vector<Setting>& point : grid_points(options.grid)) {
        FinetuneOptions of_point = options;
        of_point.out = options.out / kGridFolder / fmt::format("point-{}", results.size() + 1);
        of_point.seeds = 1;
        of_point.config.set(point);
        results.push_back({.settings = text_of(point)});
        line.note("grid: " + results.back().settings);
        FinetunePlan plan(of_point, true);
        results.back().main = train_seed(of_point, plan, of_point.out, line).best().main;
    }
    std::ranges::max_element(results, {}, &GridPoint::main)->chosen = true;  // none is smaller than any number
    return results;
}

/// The options with the chosen point's settings.
FinetuneOptions with_chosen(FinetuneOptions options, const std::vector<GridPoint>& grid) {
    const auto chosen = std::ranges::find(grid, true, &GridPoint::chosen);
    if (chosen != grid.end()) options.config.set(grid_points(options.grid)[static_cast<size_t>(chosen - grid.begin())]);
    return options;
}

}  // namespace

FinetuneResult finetune(const FinetuneOptions& given) {
    const fs::path result_file = given.out / "result.json";
    require(!fs::exists(result_file), "{} is there already: choose another --out", result_file.string());
    ProgressLine line(stderr, given.quiet);
    const std::vector<GridPoint> grid = given.grid.empty() ? std::vector<GridPoint>() : measure_grid(given, line);
    const FinetuneOptions options = with_chosen(given, grid);
    FinetunePlan plan(options);
    for (const std::string& note : plan.notes) line.note(note);
    FinetuneResult result{.task = options.task.name,
                          .kind = plan.task().kind,
                          .labels = plan.labels(),
                          .train = counts_of(plan.files.training),
                          .eval = counts_of(plan.files.evaluated),
                          .grid = grid};
    std::vector<fs::path> folders;
    const int64_t first = plan.config.train.seed;
    for (int64_t seed = first; seed < first + options.seeds; ++seed) {
        plan.config.train.seed = seed;
        plan.step.seed = static_cast<uint64_t>(seed);
        folders.push_back(options.folder_of(seed));
        if (options.seeds > 1) line.note(fmt::format("seed {}", seed));
        result.seeds.push_back(train_seed(options, plan, folders.back(), line));
    }
    write_text(result_file, result.to_json());
    remove_leftovers(options.out);
    for (const fs::path& folder : folders) remove_leftovers(folder);
    fs::remove_all(options.out / kGridFolder);
    return result;
}

}  // namespace dropforge
