// Each row of docs/huggingface.md, with the value that stands in it: honoured, harmless, or refused by name.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "model/checkpoint/tokenizer_files.h"
#include "tests/support/changed_model.h"
#include "tests/support/message_of.h"
#include "tests/support/page_tables.h"

using namespace dropforge;
using dropforge::test::ChangedModel;
using dropforge::test::message_of;
using Json = nlohmann::json;

namespace {

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// What a file leads to: a result, as text, or an error.
struct Outcome {
    std::string result, error;
};

template <typename Action>
Outcome outcome_of(const Action& action) {
    Outcome outcome;
    outcome.error = message_of([&] { outcome.result = action(); });
    return outcome;
}

using Row = dropforge::test::PageRow;

std::vector<Row> rows_of(const std::string& section, const std::string& header) {
    return dropforge::test::rows_of_page("huggingface.md", section, header);
}

/// Checks one row: `names` are what a refusal must name, `usual` is the outcome without the row's value.
void check_row(const std::string& verdict, const Outcome& outcome, const Outcome& usual, const Row& names) {
    CAPTURE(outcome.error);
    CHECK((verdict == "honoured" || verdict == "harmless" || verdict == "refused"));
    if (verdict == "refused") {
        CHECK(outcome.error != "");
        CHECK(!contains(outcome.error, "\n"));
        for (const std::string& name : names) CHECK_MESSAGE(contains(outcome.error, name), name);
        return;
    }
    CHECK(outcome.error == "");
    CHECK((outcome.result == usual.result) == (verdict == "harmless"));
}

Row parts_of(const std::string& path) {
    Row parts(1);
    for (const char c : path)
        if (c == '.') {
            parts.emplace_back();
        } else {
            parts.back() += c;
        }
    return parts;
}

const std::vector<std::string> kTokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cab",
                                          "é",     "e",     "A",     "a",     "字"};

Json usual_tokenizer_json() {
    Json vocabulary;
    for (size_t id = 0; id < kTokens.size(); ++id) vocabulary[kTokens[id]] = id;
    return {{"added_tokens", Json::array()},
            {"normalizer", {{"type", "BertNormalizer"}, {"lowercase", true}}},
            {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
            {"post_processor", {{"type", "BertProcessing"}, {"sep", {"[SEP]", 3}}, {"cls", {"[CLS]", 2}}}},
            {"model", {{"type", "WordPiece"}, {"vocab", vocabulary}}}};
}

/// The ids of texts that each switch and each token changes.
std::string tokenized(const fs::path& folder) {
    const ModelTokenizer tokenizer = load_tokenizer(folder);
    const data::AddedTokens added(tokenizer.added, tokenizer.normalization);
    data::WordPiece words(tokenizer.vocabulary, tokenizer.normalization);
    std::vector<int32_t> ids;
    for (const char* text : {"cab xcab", "bca", "A", "é", "字字", "[MASK]x[SEP]", "a a a a a a a a"})
        added.split(
            text, [&](std::string_view part) { words.encode(part, ids); }, [&](int32_t id) { ids.push_back(id); });
    return Json(ids).dump();
}

/// The rows about one of the tokenizer's files, which is `usual` but for the row's key.
void check_tokenizer_rows(const std::string& file, const Json& usual, const Json& config) {
    for (const Row& row : rows_of(file, "key")) {
        REQUIRE(row.size() >= 3);
        CAPTURE(row[0]);
        CAPTURE(row[1]);
        const TemporaryFolder folder;
        if (file != "tokenizer.json") data::Vocabulary(kTokens).save(folder / "vocab.txt");
        write_text(folder / "tokenizer_config.json", config.dump());
        write_text(folder / file, usual.dump());
        const Outcome before = outcome_of([&] { return tokenized(folder.path()); });
        REQUIRE(before.error == "");
        Json changed = usual;
        const Row path = file == "tokenizer.json" ? parts_of(row[0]) : Row{row[0]};
        Json* place = &changed;
        for (const std::string& part : path) place = &(*place)[part];
        *place = Json::parse(row[1]);
        write_text(folder / file, changed.dump());
        check_row(row[2], outcome_of([&] { return tokenized(folder.path()); }), before, path);
    }
}

std::string values_of(const Model& model) {
    const auto* bytes = model.values.as<char>();
    return model.parameters.config().to_json("") +
           std::string(bytes, static_cast<size_t>(model.parameters.size()) * sizeof(float));
}

}  // namespace

TEST_CASE("docs/huggingface.md: config.json") {
    const Json usual = Json::parse(
        R"({"vocab_size": 99, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
            "max_position_embeddings": 16, "pad_token_id": 0, "unk_token_id": 1, "cls_token_id": 2, "sep_token_id": 3,
            "mask_token_id": 4})");
    const auto read = [](const Json& json) {
        return outcome_of([&] { return BertConfig::from_json(json.dump(), "config.json").to_json("X"); });
    };
    for (const Row& row : rows_of("config.json", "key")) {
        REQUIRE(row.size() >= 3);
        CAPTURE(row[0]);
        CAPTURE(row[1]);
        Json changed = usual;
        changed[row[0]] = Json::parse(row[1]);
        check_row(row[2], read(changed), read(usual), {row[0]});
        changed[row[0]] = nullptr;  // as if it were not there
        Json without = usual;
        without.erase(row[0]);
        CHECK(read(changed).result == read(without).result);
    }
}

TEST_CASE("docs/huggingface.md: tokenizer files") {
    check_tokenizer_rows("tokenizer_config.json", Json::object(), Json::object());
    check_tokenizer_rows("special_tokens_map.json", Json::object(), Json::object());
    check_tokenizer_rows("added_tokens.json", Json::object(), Json::object());
    check_tokenizer_rows("tokenizer.json", usual_tokenizer_json(), {{"tokenizer_class", "TokenizersBackend"}});
}

TEST_CASE("docs/huggingface.md: names of tensors") {
    const Outcome usual{values_of(ChangedModel().load()), ""};
    for (const Row& row : rows_of("Weights", "tensor in the file")) {
        REQUIRE(row.size() >= 3);
        CAPTURE(row[0]);
        ChangedModel model;
        if (row[1] == "nothing") {
            model.tensors[row[0]] = {{2}, {1, 2}};
        } else {
            REQUIRE(model.tensors.contains(row[1]));
            model.tensors[row[0]] = model.tensors[row[1]];
            model.tensors.erase(row[1]);
        }
        const Outcome outcome = outcome_of([&] { return values_of(model.load()); });
        const bool renamed = row[2] == "honoured";  // then it is the same model
        check_row(renamed ? "harmless" : row[2], outcome, usual, {row[0].substr(0, row[0].rfind('.'))});
    }
}

TEST_CASE("docs/huggingface.md: formats and types of weights") {
    for (const Row& row : rows_of("Weights", "file")) {
        CAPTURE(row[0]);
        ChangedModel model;
        model.write_config();
        const auto all = [](const std::string&) { return true; };
        model.write_file(row[0] == "model.safetensors" ? row[0] : "a.safetensors", all);
        if (row[0] == "model.safetensors.index.json") {
            Json map;
            for (const auto& entry : model.tensors) map[entry.first] = "a.safetensors";
            write_text(model.folder / row[0], Json{{"weight_map", map}}.dump());
        } else if (row[0] != "model.safetensors") {
            write_text(model.folder / row[0], "");
        }
        const Outcome usual{values_of(ChangedModel().load()), ""};
        const Outcome outcome = outcome_of([&] { return values_of(load_model(model.folder.path())); });
        check_row(row[1] == "honoured" ? "harmless" : row[1], outcome, usual, {row[0]});
    }
    for (const Row& row : rows_of("Weights", "type")) {
        CAPTURE(row[0]);
        const ChangedModel model;
        model.write_config();
        const size_t bytes = row[0] == "F64" ? 8 : row[0] == "F32" ? 4 : row[0].find("16") != std::string::npos ? 2 : 1;
        SafetensorsWriter writer;
        std::map<std::string, std::vector<std::byte>> zeros;
        for (const auto& entry : model.tensors) {
            zeros[entry.first].resize(entry.second.values.size() * bytes);
            writer.add_raw(entry.first, row[0], zeros[entry.first], entry.second.shape);
        }
        writer.write(model.folder / "model.safetensors");
        const Outcome outcome = outcome_of([&] { return values_of(load_model(model.folder.path())); });
        check_row(row[1] == "honoured" ? "harmless" : row[1], outcome, outcome, {row[0]});
    }
}

TEST_CASE("docs/huggingface.md: elements of weights") {
    const std::string name = "bert.embeddings.LayerNorm.bias";
    const auto load = [&](double element) {
        const ChangedModel model;
        model.write_config();
        SafetensorsWriter writer;
        std::map<std::string, std::vector<double>> values;
        for (const auto& entry : model.tensors) {
            std::vector<double>& wide = values[entry.first];
            wide.assign(entry.second.values.begin(), entry.second.values.end());
            if (entry.first == name) wide[2] = element;
            writer.add_raw(entry.first, "F64", std::as_bytes(std::span(wide)), entry.second.shape);
        }
        writer.write(model.folder / "model.safetensors");
        return outcome_of([&] { return values_of(load_model(model.folder.path())); });
    };
    const Outcome usual = load(0.5);
    for (const Row& row : rows_of("Weights", "element of an F64 tensor")) {
        CAPTURE(row[0]);
        check_row(row[1], load(std::stod(row[0])), usual, {"model.safetensors", name, "1 of ", "element 2"});
    }
}
