// Hugging Face folders: read, written and read again; what is no BERT is refused by name.
#include "model/huggingface.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "engine/safetensors.h"
#include "tests/paths.h"
#include "tests/temporary_folder.h"

namespace dropforge {
namespace {

const fs::path kCases = fs::path(kTestData) / "parity";

TEST_CASE("a model read and written again is equal tensor for tensor") {
    for (const char* name : {"a", "b"}) {
        CAPTURE(name);
        const TemporaryFolder folder;
        const Model model = load_model(kCases / name);
        save_model(folder.path(), model.parameters, model.values.as<float>());
        const SafetensorsFile before(kCases / name / "model.safetensors"), after(folder / "model.safetensors");
        CHECK(before.tensors().size() == after.tensors().size());
        for (const auto& entry : before.tensors()) {
            const std::string& tensor = entry.first;
            const TensorInfo& info = entry.second;
            CAPTURE(tensor);
            REQUIRE(after.has(tensor));
            CHECK(after.info(tensor).shape == info.shape);
            const auto x = before.bytes(tensor), y = after.bytes(tensor);
            CHECK(std::equal(x.begin(), x.end(), y.begin(), y.end()));
        }
        const BertConfig &c = model.parameters.config(), again = load_model(folder.path()).parameters.config();
        CHECK(again.to_json("X") == c.to_json("X"));
    }
}

TEST_CASE("names without the prefix are read, and an encoder without heads is written so") {
    const TemporaryFolder folder;
    const SafetensorsFile whole(kCases / "a" / "model.safetensors");
    SafetensorsWriter bare;
    for (const auto& [name, info] : whole.tensors())
        if (name.starts_with("bert.")) bare.add_raw(name.substr(5), info.dtype, whole.bytes(name), info.shape);
    const std::vector<int32_t> positions{0, 1, 2};
    bare.add("embeddings.position_ids", std::span<const int32_t>(positions), {1, 3});
    bare.write(folder / "model.safetensors");
    fs::copy_file(kCases / "a" / "config.json", folder / "config.json");
    const Model model = load_model(folder.path());
    CHECK(!model.parameters.heads().mlm);
    const TemporaryFolder again;
    save_model(again.path(), model.parameters, model.values.as<float>());
    const SafetensorsFile written(again / "model.safetensors");
    CHECK(written.has("embeddings.word_embeddings.weight"));
    CHECK(nlohmann::json::parse(read_text(again / "config.json"))["architectures"][0] == "BertModel");
}

TEST_CASE("LayerNorm's older names are read; a decoder of its own is refused") {
    const TemporaryFolder folder;
    const SafetensorsFile whole(kCases / "a" / "model.safetensors");
    fs::copy_file(kCases / "a" / "config.json", folder / "config.json");
    SafetensorsWriter writer;
    for (const auto& [name, info] : whole.tensors()) {
        std::string old = name;
        if (old.ends_with("LayerNorm.weight")) old.replace(old.size() - 6, 6, "gamma");
        if (old.ends_with("LayerNorm.bias")) old.replace(old.size() - 4, 4, "beta");
        writer.add_raw(old, info.dtype, whole.bytes(name), info.shape);
    }
    writer.write(folder / "model.safetensors");
    const Model expected = load_model(kCases / "a"), model = load_model(folder.path());
    const float *x = expected.values.as<float>(), *y = model.values.as<float>();
    CHECK(std::equal(x, x + expected.parameters.size(), y));
    const TensorInfo& table = whole.info("bert.embeddings.word_embeddings.weight");
    const std::vector<float> other(static_cast<size_t>(table.size()), 1);
    writer.add("cls.predictions.decoder.weight", std::span<const float>(other), table.shape);
    writer.write(folder / "model.safetensors");
    CHECK_THROWS_WITH_AS(load_model(folder.path()), doctest::Contains("a decoder of its own"), Error);
}

TEST_CASE("a tensor too many, too few or of another shape is refused by name") {
    const TemporaryFolder folder;
    const SafetensorsFile whole(kCases / "a" / "model.safetensors");
    fs::copy_file(kCases / "a" / "config.json", folder / "config.json");
    const std::vector<float> extra{1, 2};
    const auto written = [&](const std::string& without, const std::string& with, const std::string& flat) {
        SafetensorsWriter writer;
        for (const auto& [name, info] : whole.tensors())
            if (name != without)
                writer.add_raw(name, info.dtype, whole.bytes(name),
                               name == flat ? std::vector<int64_t>{info.size()} : info.shape);
        if (!with.empty()) writer.add(with, std::span<const float>(extra), {2});
        writer.write(folder / "model.safetensors");
    };
    written("cls.predictions.bias", "", "");
    CHECK_THROWS_WITH_AS(load_model(folder.path()), doctest::Contains("cls.predictions.bias is missing"), Error);
    written("", "bert.encoder.layer.9.output.dense.bias", "");
    CHECK_THROWS_WITH_AS(load_model(folder.path()),
                         doctest::Contains("unexpected tensor bert.encoder.layer.9.output.dense.bias"), Error);
    written("", "", "bert.encoder.layer.0.output.dense.weight");
    CHECK_THROWS_WITH_AS(load_model(folder.path()), doctest::Contains("bert.encoder.layer.0.output.dense.weight"),
                         Error);
}

TEST_CASE("tokenizer files say whether the vocabulary is cased") {
    const TemporaryFolder folder;
    write_text(folder / "some.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n");
    CHECK(!tokenizer_is_cased(folder.path()));
    for (const bool cased : {true, false}) {
        save_tokenizer(folder.path(), folder / "some.txt", cased, 512);
        CHECK(tokenizer_is_cased(folder.path()) == cased);
        CHECK(read_text(folder / "vocab.txt") == read_text(folder / "some.txt"));
    }
}

TEST_CASE("the vocabulary of tokenizer.json; a folder without one; switches that data is not prepared with") {
    const TemporaryFolder folder;
    const data::Vocabulary vocabulary({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"});
    CHECK_THROWS_WITH_AS(require_vocabulary(folder.path(), vocabulary), doctest::Contains("cannot be checked"), Error);
    nlohmann::json list;
    for (int32_t id = 0; id < vocabulary.size(); ++id) list[vocabulary.token(id)] = id;
    write_text(folder / "tokenizer.json", nlohmann::json{{"model", {{"type", "WordPiece"}, {"vocab", list}}}}.dump());
    require_vocabulary(folder.path(), vocabulary);
    const data::Vocabulary other({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "b"});
    CHECK_THROWS_WITH_AS(require_vocabulary(folder.path(), other), doctest::Contains("token 5"), Error);
    write_text(folder / "tokenizer_config.json", R"({"strip_accents": false})");
    CHECK_THROWS_WITH_AS(tokenizer_is_cased(folder.path()), doctest::Contains("strip_accents"), Error);
}

}  // namespace
}  // namespace dropforge
