#include "report/task_results.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/json_object.h"
#include "report/html.h"
#include "report/run_metrics.h"

namespace dropforge::report {

namespace {

constexpr const char* kFile = "result.json";

TaskResult read_result(const fs::path& file) {
    const JsonObject json = JsonObject::load(file);
    TaskResult result{
        .task = json.text("task"), .main = recorded_main(json), .metrics = {}, .seeds = json.objects("seeds").size()};
    const JsonObject means = json.object("mean");
    for (const std::string& name : means.keys())
        if (means.has(name.c_str()))
            result.metrics +=
                fmt::format("{}{} {:.4f}", result.metrics.empty() ? "" : ", ", name, means.number(name.c_str()));
    return result;
}

std::vector<TaskResult> results_in(const fs::path& folder) {
    if (fs::exists(folder / kFile)) return {read_result(folder / kFile)};
    require(fs::is_directory(folder), "{}: no such folder", folder.string());
    std::set<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder))
        if (fs::exists(entry.path() / kFile)) files.insert(entry.path() / kFile);
    require(!files.empty(), "{}: no {} of `dropforge finetune`, nor folders with one", folder.string(), kFile);
    std::vector<TaskResult> results;
    results.reserve(files.size());
    for (const fs::path& file : files) results.push_back(read_result(file));
    return results;
}

std::string percent(const Spread& spread) {
    if (!spread.mean) return "–";
    return fmt::format("{:.2f}{}", 100 * *spread.mean,
                       spread.deviation ? fmt::format(" ± {:.2f}", 100 * *spread.deviation) : "");
}

/// The result of the task; nullptr: the model has none.
const TaskResult* find(const TaskResults& model, const std::string& task) {
    const auto found = std::ranges::find(model.tasks, task, &TaskResult::task);
    return found == model.tasks.end() ? nullptr : &*found;
}

/// The mean over the tasks, as GLUE counts it; none where one is missing.
Spread average(const TaskResults& model, const std::vector<std::string>& tasks) {
    std::vector<std::optional<double>> mains;
    for (const std::string& task : tasks) {
        const TaskResult* result = find(model, task);
        mains.push_back(result == nullptr ? std::nullopt : result->main.mean);
    }
    return {.mean = spread_of(mains).mean};
}

}  // namespace

std::vector<TaskResults> read_task_results(const std::vector<std::string>& arguments) {
    std::vector<TaskResults> models;
    for (const std::string& argument : arguments) {
        const LabelledRun given = LabelledRun::parse(argument);
        models.push_back(
            {.label = given.label.empty() ? given.folder : given.label, .tasks = results_in(given.folder)});
    }
    return models;
}

std::string task_section(const std::vector<TaskResults>& models) {
    std::vector<std::string> tasks;  // in the order in which they come
    for (const TaskResults& model : models)
        for (const TaskResult& result : model.tasks)
            if (std::ranges::count(tasks, result.task) == 0) tasks.push_back(result.task);
    if (tasks.empty()) return "";
    std::vector<std::string> heads = {"model"};
    for (const std::string& task : tasks) heads.push_back(escaped(task));
    if (tasks.size() > 1) heads.emplace_back("average");
    Table table(heads);
    for (const TaskResults& model : models) {
        std::vector<std::string> cells = {escaped(model.label)};
        for (const std::string& task : tasks) {
            const TaskResult* result = find(model, task);
            cells.push_back(result == nullptr
                                ? "–"
                                : fmt::format("<span title=\"{}; {} seed{}\">{}</span>", escaped(result->metrics),
                                              result->seeds, result->seeds == 1 ? "" : "s", percent(result->main)));
        }
        if (tasks.size() > 1) cells.push_back(percent(average(model, tasks)));
        table.add(cells);
    }
    return fmt::format(
        "<section>\n<h2>Fine-tuning</h2>\n<p>The main metric of each task in per cent, the mean over the seeds ± their "
        "standard deviation; all metrics appear where the pointer rests.</p>\n{}</section>\n",
        table.html());
}

}  // namespace dropforge::report
