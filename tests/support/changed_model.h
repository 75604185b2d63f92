// A small model whose files a test changes.
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/safetensors.h"
#include "model/checkpoint/huggingface.h"
#include "tests/support/message_of.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

namespace dropforge::test {

/// A model's tensors by name and its config.json, to be changed and written as a model of others.
struct ChangedModel {
    using Values = std::vector<float>;
    struct Tensor {
        std::vector<int64_t> shape;
        Values values;
    };

    TemporaryFolder folder;
    std::map<std::string, Tensor> tensors;
    nlohmann::json config;

    explicit ChangedModel(const fs::path& source = fs::path(kTestData) / "parity/a")
        : config(nlohmann::json::parse(read_text(source / "config.json"))) {
        const SafetensorsFile original(source / "model.safetensors");
        for (const auto& entry : original.tensors()) {
            Tensor& tensor = tensors[entry.first];
            tensor.shape = entry.second.shape;
            tensor.values.resize(static_cast<size_t>(entry.second.size()));
            original.read(entry.first, tensor.values);
        }
    }
    void write_file(const std::string& name, const std::function<bool(const std::string&)>& chosen) const {
        SafetensorsWriter writer;
        for (const auto& entry : tensors)
            if (chosen(entry.first))
                writer.add(entry.first, std::span<const float>(entry.second.values), entry.second.shape);
        writer.write(folder / name);
    }
    void write_config() const { write_text(folder / "config.json", config.dump()); }
    Model load() const {
        write_config();
        write_file("model.safetensors", [](const std::string&) { return true; });
        return load_model(folder.path());
    }
    std::string error() const {
        return message_of([&] { load(); });
    }
};

}  // namespace dropforge::test
