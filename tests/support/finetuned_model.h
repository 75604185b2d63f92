// A model with a head for a task, as another program may have trained it, and commands that use it.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/changed_model.h"
#include "tests/support/cli_fixture.h"

namespace dropforge::test {

/// A small foreign model of 40 positions with a head of random weights, and files beside it.
struct FineTunedModel : ChangedModel {
    PhiloxStream random{7, 0};

    FineTunedModel(const char* architecture, int64_t columns, const std::vector<std::string>& labels = {}) {
        std::erase_if(tensors, [](const auto& tensor) { return tensor.first.starts_with("cls."); });
        const std::string head = architecture == std::string("BertForQuestionAnswering") ? "qa_outputs" : "classifier";
        draw("bert.pooler.dense.weight", {64, 64});
        draw("bert.pooler.dense.bias", {64});
        draw(head + ".weight", {columns, 64});
        draw(head + ".bias", {columns});
        config["architectures"] = {architecture};
        for (size_t i = 0; i < labels.size(); ++i) config["id2label"][std::to_string(i)] = labels[i];
        fs::copy_file(fs::path(kTestData) / "finetune/squad2/vocab.txt", folder / "vocab.txt");
        write();
    }
    void write() const {
        write_config();
        write_file("model.safetensors", [](const std::string&) { return true; });
    }
    std::string write_text_file(const std::string& name, const std::string& text) const {
        write_text(folder / name, text);
        return (folder / name).string();
    }
    /// Up to `most` words of the vocabulary.
    std::string text(uint32_t most) {
        static const data::Vocabulary vocabulary = data::Vocabulary::load(folder / "vocab.txt");
        std::string words;
        for (uint32_t left = 1 + random.below(most); left > 0;) {
            const std::string& word = vocabulary.token(static_cast<int32_t>(random.below(384)));
            if (word.size() < 2 || !std::ranges::all_of(word, [](char c) { return c >= 'a' && c <= 'z'; })) continue;
            words += (words.empty() ? "" : " ") + word;
            --left;
        }
        return words;
    }
    std::vector<std::string> texts(size_t count, uint32_t most) {
        std::vector<std::string> all;
        for (size_t i = 0; i < count; ++i) all.push_back(text(most));
        return all;
    }
    Arguments predict(const std::string& text_file) const {
        return {"predict", "--model", folder.path().string(), "--quiet", "--text", text_file};
    }
    /// The folder that `evaluate --task --out` writes, until the next call.
    fs::path evaluated(const std::string& task, const std::string& file, const Arguments& more = {}) const {
        const fs::path out = folder / "evaluated";
        fs::remove_all(out);
        succeed(Arguments{"evaluate", "--model", folder.path().string(), "--quiet", "--task", task, "--eval", file,
                          "--out", out.string()} +
                more);
        return out;
    }

  private:
    void draw(const std::string& name, const std::vector<int64_t>& shape) {
        int64_t size = 1;
        for (const int64_t n : shape) size *= n;
        Values values;
        for (int64_t i = 0; i < size; ++i) values.push_back(static_cast<float>(random.uniform() - 0.5));
        tensors[name] = {shape, values};
    }
};

}  // namespace dropforge::test
