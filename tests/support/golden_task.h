// The golden cases of fine-tuning: an evaluated file, and what another implementation made of it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/tasks/labels.h"
#include "data/tasks/sequences/sequences.h"
#include "engine/safetensors.h"
#include "tests/support/paths.h"

namespace dropforge::test {

template <typename T>
std::vector<T> tensor(const SafetensorsFile& file, const std::string& name) {
    std::vector<T> values(static_cast<size_t>(file.info(name).size()));
    file.read(name, std::span<T>(values));
    return values;
}

/// A golden case: its evaluated file, and the sequences and facts that are expected of it after a run.
struct GoldenTask {
    fs::path folder;
    nlohmann::json facts;
    SafetensorsFile tensors;
    const tasks::Task& task;
    std::vector<std::string> labels;
    tasks::ExampleFile file;
    tasks::SequenceOptions options;
    tasks::Items items;

    GoldenTask(const std::string& name, const std::string& run)
        : folder(fs::path(kTestData) / "finetune" / name),
          facts(nlohmann::json::parse(read_text(folder / ("expected_" + run + ".json")))),
          tensors(folder / ("expected_" + run + ".safetensors")),
          task(tasks::find_task(name)),
          labels(facts.at("labels")),
          file(tasks::read_examples(task, folder / facts.at("eval_file").get<std::string>())),
          options(options_of(nlohmann::json::parse(read_text(folder / "case.json")))) {
        tasks::index_labels(task, labels, file);
        items = make_items(task, file, data::Vocabulary::load(folder / "vocab.txt"), data::kUncased, options);
    }

    /// The task's, or what `--set data.…` of the case says.
    tasks::SequenceOptions options_of(const nlohmann::json& json) const {
        tasks::SequenceOptions found{.max_length = task.length};
        for (const std::string argument : json.at("arguments")) {
            if (argument.starts_with("data.max_length=")) found.max_length = std::stoll(argument.substr(16));
            if (argument.starts_with("data.doc_stride=")) found.doc_stride = std::stoll(argument.substr(16));
        }
        return found;
    }
};

}  // namespace dropforge::test
