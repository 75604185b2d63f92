#include "finetune/suite.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/json_object.h"
#include "data/tasks/metrics/metrics_json.h"

namespace dropforge {

namespace {

const std::vector<std::string> kGlue = {"cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"},
                               kSuperGlue = {"boolq", "cb", "copa", "multirc", "rte", "wic"};

std::vector<std::string> names_of(const std::string& suite) {
    if (suite == "glue") return kGlue;
    if (suite == "superglue") return kSuperGlue;
    require(suite == "all", "no suite named {}; there are glue, superglue, all", suite);
    std::vector<std::string> names;
    for (const tasks::Task& task : tasks::all_tasks())
        if (task.name != "span" && (!task.columns.empty() || task.form == tasks::Form::questions))
            names.push_back(task.name);
    return names;
}

/// "SST-2" and "sst2" alike.
std::string plain(const std::string& name) {
    std::string text;
    for (const char c : name)
        if (std::isalnum(static_cast<unsigned char>(c)) != 0)
            text += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
}

/// The first of these that the folder has; empty: none.
fs::path first_there(const fs::path& folder, std::initializer_list<const char*> names) {
    for (const char* name : names)
        if (fs::is_regular_file(folder / name)) return folder / name;
    return {};
}

SuiteTask files_in(const std::string& task, const fs::path& folder) {
    return {task,
            first_there(folder,
                        {"train.tsv", "train.jsonl", "msr_paraphrase_train.txt", "train-v2.0.json", "train-v1.1.json"}),
            first_there(folder, {"dev.tsv", "dev_matched.tsv", "val.jsonl", "dev.jsonl", "msr_paraphrase_test.txt",
                                 "dev-v2.0.json", "dev-v1.1.json"})};
}

SuiteRow finetune_one(FinetuneOptions options, const SuiteTask& task) {
    options.task.name = task.task;
    options.training = task.training;
    options.evaluated = task.evaluated;
    options.out /= task.task;
    try {
        const fs::path result = options.out / "result.json";
        return {task.task, fs::exists(result) ? recorded_main(JsonObject::load(result)) : finetune(options).main()};
    } catch (const Error& error) {
        return {.task = task.task, .error = error.what()};
    }
}

}  // namespace

std::vector<SuiteTask> suite_tasks(const std::string& suite, const fs::path& data) {
    require(fs::is_directory(data), "{}: no such folder", data.string());
    const std::vector<std::string> names = names_of(suite);
    std::vector<SuiteTask> found;
    for (const std::string& name : names)
        for (const auto& entry : fs::directory_iterator(data)) {
            if (!entry.is_directory() || plain(entry.path().filename().string()) != name) continue;
            const SuiteTask task = files_in(name, entry.path());
            if (!task.training.empty() && !task.evaluated.empty()) found.push_back(task);
        }
    require(!found.empty(), "{}: no folder with train and dev files of {}", data.string(), fmt::join(names, ", "));
    return found;
}

std::optional<double> SuiteResult::average() const {
    std::vector<std::optional<double>> means;
    for (const SuiteRow& row : rows) means.push_back(row.main.mean);
    return spread_of(means).mean;
}

std::string SuiteResult::to_json() const {
    using Json = nlohmann::ordered_json;
    Json json = {{"tasks", Json::array()}, {"average", tasks::json_of(average())}};
    for (const SuiteRow& row : rows) {
        json["tasks"].push_back(
            {{"task", row.task}, {"main", tasks::json_of(row.main.mean)}, {"std", tasks::json_of(row.main.deviation)}});
        if (!row.error.empty()) json["tasks"].back()["error"] = row.error;
    }
    return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

SuiteResult finetune_suite(const FinetuneOptions& options, const std::vector<SuiteTask>& tasks) {
    SuiteResult result;
    for (const SuiteTask& task : tasks) result.rows.push_back(finetune_one(options, task));
    write_text(options.out / "suite.json", result.to_json());
    return result;
}

}  // namespace dropforge
