// Hugging Face folders: read, written and read again; what is no BERT is refused by name.
#include "model/checkpoint/huggingface.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "engine/safetensors.h"
#include "tests/support/changed_model.h"
#include "tests/support/message_of.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

namespace dropforge {
namespace {

using test::ChangedModel;

const fs::path kCases = fs::path(kTestData) / "parity";

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

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
    const SafetensorsFile original(kCases / "a" / "model.safetensors");
    SafetensorsWriter bare;
    for (const auto& [name, info] : original.tensors())
        if (name.starts_with("bert.")) bare.add_raw(name.substr(5), info.dtype, original.bytes(name), info.shape);
    const std::vector<int32_t> positions{0, 1, 2};
    bare.add("embeddings.position_ids", std::span<const int32_t>(positions), {1, 3});
    bare.write(folder / "model.safetensors");
    fs::copy_file(kCases / "a" / "config.json", folder / "config.json");
    const Model model = load_model(folder.path());
    CHECK(!model.parameters.heads().has(mlm_head()));
    const TemporaryFolder again;
    save_model(again.path(), model.parameters, model.values.as<float>());
    const SafetensorsFile written(again / "model.safetensors");
    CHECK(written.has("embeddings.word_embeddings.weight"));
    CHECK(nlohmann::json::parse(read_text(again / "config.json"))["architectures"][0] == "BertModel");
}

const std::string kWord = "bert.embeddings.word_embeddings.weight", kDecoder = "cls.predictions.decoder.weight",
                  kBias = "cls.predictions.bias", kDecoderBias = "cls.predictions.decoder.bias";

bool same_values(const Model& model, const Model& expected) {
    const float* x = expected.values.as<float>();
    return model.parameters.size() == expected.parameters.size() &&
           std::equal(x, x + expected.parameters.size(), model.values.as<float>());
}

TEST_CASE("of two shared tensors one is enough; the decoder's are the ones that count") {
    const Model expected = load_model(kCases / "a");
    ChangedModel changed;
    changed.tensors[kDecoder] = changed.tensors[kWord];
    CHECK(same_values(changed.load(), expected));
    changed.tensors.erase(kWord);
    CHECK(same_values(changed.load(), expected));
    changed.tensors[kDecoderBias] = changed.tensors[kBias];
    changed.tensors.erase(kBias);
    CHECK(same_values(changed.load(), expected));
    changed.tensors[kBias] = changed.tensors[kDecoderBias];
    for (float& value : changed.tensors[kBias].values) value += 1;
    CHECK(same_values(changed.load(), expected));
}

TEST_CASE("a decoder of its own is read, whatever config.json says of tying; what then is missing is said") {
    ChangedModel changed;
    changed.tensors[kDecoder] = changed.tensors[kWord];
    changed.tensors[kDecoder].values[0] += 1;
    const Model differs = changed.load();
    CHECK(!differs.parameters.config().tied_decoder);
    CHECK(nlohmann::json::parse(differs.parameters.config().to_json("X"))["tie_word_embeddings"] == false);
    changed.config["tie_word_embeddings"] = false;
    CHECK(contains(changed.error(), kDecoderBias + " is missing, and nothing else stands for it where tie_word_embe"));
    changed.tensors[kDecoderBias] = changed.tensors[kBias];
    const Model untied = changed.load();
    CHECK(same_values(untied, differs));
    const TemporaryFolder again;
    save_model(again.path(), untied.parameters, untied.values.as<float>());
    CHECK(same_values(load_model(again.path()), untied));
    changed.tensors.erase(kDecoder);
    CHECK(contains(changed.error(), kDecoder + " is missing"));
}

TEST_CASE("a head without one of its tensors is refused by the tensor's name, with what needs it") {
    const auto error_without = [&](const std::string& start) {
        ChangedModel changed(kCases / "b");
        REQUIRE(std::erase_if(changed.tensors, [&](const auto& entry) { return entry.first.starts_with(start); }) > 0);
        return changed.error();
    };
    for (const char* part : {"bert.pooler.", "bert.pooler.dense.bias"})
        CHECK(contains(error_without(part), "is missing, which cls.seq_relationship reads"));
    CHECK(contains(error_without("cls.seq_relationship.bias"), "cls.seq_relationship.bias is missing"));
    CHECK(contains(error_without("cls.predictions.transform.dense.bias"), "transform.dense.bias is missing"));
}

TEST_CASE("names of older writers, buffers, and heads of other tasks, which are left out by name") {
    const Model expected = load_model(kCases / "a");
    ChangedModel changed;
    for (const std::string part : {"weight", "bias"}) {
        const std::string name = "bert.embeddings.LayerNorm.", old = part == "weight" ? "gamma" : "beta";
        changed.tensors[name + old] = changed.tensors[name + part];
        changed.tensors.erase(name + part);
    }
    changed.tensors["bert.embeddings.position_ids"] = {{1, 3}, {0, 1, 2}};
    changed.tensors["bert.embeddings.token_type_ids"] = {{1, 3}, {0, 0, 0}};
    changed.tensors["classifier.weight"] = {{1, 2}, {1, 2}};
    changed.tensors["qa_outputs.bias"] = {{2}, {1, 2}};
    const Model model = changed.load();
    CHECK(same_values(model, expected));
    REQUIRE(notes_on(model, "M").size() == 1);
    CHECK(notes_on(model, "M")[0] == "M: left out, as heads of other tasks: classifier.weight, qa_outputs.bias");
    CHECK(notes_on(expected, "M").empty());
    std::erase_if(changed.tensors, [](const auto& entry) { return entry.first.starts_with("cls.predictions."); });
    const Model headless = changed.load();
    CHECK(test::message_of([&] { require_mlm_head(headless, "M"); }) ==
          "M: the model has no MLM head: no tensor is named cls.predictions.…, but classifier.weight");
    changed.tensors["embeddings.LayerNorm.weight"] = changed.tensors["bert.embeddings.LayerNorm.gamma"];
    CHECK(contains(changed.error(), "both embeddings.LayerNorm.weight and bert.embeddings.LayerNorm.gamma are there"));
}

TEST_CASE("sizes of config.json that the tensors do not have are refused before memory is asked for") {
    ChangedModel changed;
    changed.config["vocab_size"] = 1 << 24;
    changed.config["intermediate_size"] = 1 << 20;
    changed.config["num_hidden_layers"] = 1024;
    CHECK(contains(changed.error(), kWord + ": expected shape [16777216, "));
}

TEST_CASE("another prefix is refused by name") {
    ChangedModel changed;
    std::map<std::string, ChangedModel::Tensor> wrapped;
    for (const auto& entry : changed.tensors) wrapped["module." + entry.first] = entry.second;
    changed.tensors = wrapped;
    CHECK(contains(changed.error(), kWord + " is missing, but there is module." + kWord));
}

TEST_CASE("weights of every floating-point type; others are refused by name") {
    const SafetensorsFile original(kCases / "a" / "model.safetensors");
    const ChangedModel changed;
    changed.write_config();
    const auto error_of = [&](const std::string& dtype, size_t bytes) {
        SafetensorsWriter writer;
        std::map<std::string, std::vector<std::byte>> data;
        for (const auto& entry : original.tensors()) {
            auto& zeros = data[entry.first];
            zeros.resize(static_cast<size_t>(entry.second.size()) * bytes);
            writer.add_raw(entry.first, dtype, zeros, entry.second.shape);
        }
        writer.write(changed.folder / "model.safetensors");
        return test::message_of([&] { load_model(changed.folder.path()); });
    };
    for (const auto& [dtype, bytes] : {std::pair{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}})
        CHECK(error_of(dtype, static_cast<size_t>(bytes)) == "");
    for (const auto& [dtype, bytes] : {std::pair{"I32", 4}, {"I8", 1}, {"F8_E4M3", 1}, {"BOOL", 1}, {"U8", 1}})
        CHECK(contains(error_of(dtype, static_cast<size_t>(bytes)),
                       std::string("expected F32, F16, BF16 or F64, found ") + dtype));
}

TEST_CASE("weights that are no finite numbers, in each type: file, tensor, how many, the first") {
    const std::string name = "bert.encoder.layer.0.output.dense.bias";
    const auto error_with = [&](const std::string& dtype, const auto& bits, std::initializer_list<size_t> places) {
        ChangedModel changed;
        changed.write_config();
        std::vector values(changed.tensors.at(name).values.size(), decltype(bits){0});
        for (const size_t place : places) values.at(place) = bits;
        SafetensorsWriter writer;
        for (const auto& [other, tensor] : changed.tensors)
            if (other != name) writer.add(other, std::span<const float>(tensor.values), tensor.shape);
        writer.add_raw(name, dtype, std::as_bytes(std::span(values)), changed.tensors.at(name).shape);
        writer.write(changed.folder / "model.safetensors");
        return test::message_of([&] { load_model(changed.folder.path()); });
    };
    const auto says = [&](const std::string& error, const std::string& count, const std::string& first) {
        CAPTURE(error);
        CHECK(contains(error, "model.safetensors: tensor " + name + ": " + count + " of "));
        CHECK(error.ends_with("the first is element " + first));
    };
    const double beyond = 1e39, least_beyond = std::ldexp(2 - std::ldexp(1.0, -24), 127);
    says(error_with("F64", beyond, {3}), "1", "3");
    says(error_with("F64", least_beyond, {3}), "1", "3");
    CHECK(error_with("F64", std::nextafter(least_beyond, 0), {3}) == "");
    says(error_with("F32", std::numeric_limits<float>::quiet_NaN(), {0, 1, 7}), "3", "0");
    says(error_with("F32", -std::numeric_limits<float>::infinity(), {7}), "1", "7");
    says(error_with("F16", uint16_t{0x7C00}, {1, 2}), "2", "1");
    says(error_with("F16", uint16_t{0xFE00}, {5}), "1", "5");
    CHECK(error_with("F16", uint16_t{0x7BFF}, {5}) == "");
    says(error_with("BF16", uint16_t{0xFF80}, {5}), "1", "5");
    says(error_with("BF16", uint16_t{0x7FC0}, {5}), "1", "5");
    CHECK(error_with("BF16", uint16_t{0x7F7F}, {5}) == "");
}

/// A model in two shards and their index.
struct Sharded : ChangedModel {
    nlohmann::json map;

    Sharded() {
        write_config();
        const auto in_first = [](const std::string& name) { return name < "bert.encoder"; };
        for (const auto& entry : tensors) map[entry.first] = in_first(entry.first) ? "1.safetensors" : "2.safetensors";
        write_file("1.safetensors", in_first);
        write_file("2.safetensors", [&](const std::string& name) { return !in_first(name); });
    }
    std::string error_with(const nlohmann::json& changed_map) const {
        write_text(folder / "model.safetensors.index.json",
                   nlohmann::json{{"metadata", {{"total_size", 1}}}, {"weight_map", changed_map}}.dump());
        return test::message_of([&] { load_model(folder.path()); });
    }
};

TEST_CASE("shards: read by their index") {
    const Sharded sharded;
    REQUIRE(sharded.error_with(sharded.map) == "");
    CHECK(same_values(load_model(sharded.folder.path()), load_model(kCases / "a")));
}

TEST_CASE("shards: an index that leads astray") {
    const Sharded sharded;
    for (const char* name : {"../1.safetensors", "/tmp/1.safetensors", "..", ".", "", "sub/1.safetensors", "a\\b"}) {
        auto map = sharded.map;
        map[kWord] = name;
        CHECK(contains(sharded.error_with(map), std::string("index.json: the shard \"") + name + "\" of " + kWord +
                                                    " must be a file of the same folder"));
    }
    auto map = sharded.map;
    map[kWord] = std::string(256, 'a');  // longer than a file's name can be
    CHECK(contains(sharded.error_with(map), "must be a file of the same folder"));
    map[kWord] = std::string("1.safetensors\0", 14);  // the system's calls would end it there, as the text does
    CHECK(sharded.error_with(map).ends_with("index.json: the shard \"1.safetensors"));
    map[kWord] = "3.safetensors";
    CHECK(contains(sharded.error_with(map), "the shard 3.safetensors of " + kWord + " is missing"));
    map[kWord] = "2.safetensors";
    CHECK(contains(sharded.error_with(map), kWord + " is not in 2.safetensors"));
    map.erase(kWord);
    CHECK(contains(sharded.error_with(map), "1.safetensors: the tensor " + kWord + " is not in the index"));
    map[kWord] = 1;
    CHECK(contains(sharded.error_with(map), kWord + " must be a string, not 1"));
    CHECK(contains(sharded.error_with(nlohmann::json::object()), "names no tensor"));
    CHECK(contains(sharded.error_with(nlohmann::json::array()), "weight_map must be an object"));
    sharded.write_file("2.safetensors", [](const std::string&) { return true; });
    CHECK(contains(sharded.error_with(sharded.map), "is also in 1.safetensors, where the index has it"));
}

TEST_CASE("weights in another format only: one line that says how to convert them") {
    const TemporaryFolder folder;
    fs::copy_file(kCases / "a" / "config.json", folder / "config.json");
    const auto error = [&] { return test::message_of([&] { load_model(folder.path()); }); };
    CHECK(contains(error(), "model.safetensors: No such file, and no model.safetensors.index.json"));
    for (const std::string file : {"adapter_model.safetensors", "bert_model.ckpt.index", "flax_model.msgpack",
                                   "tf_model.h5", "pytorch_model.bin.index.json", "pytorch_model.bin"}) {
        write_text(folder / file, "");
        CHECK(contains(error(), "no model.safetensors, but " + file));
        CHECK(!contains(error(), "\n"));
        const size_t command = error().find(": python3 -c \"");  // quoted so that a shell takes it as it is
        REQUIRE(command != std::string::npos);
        CHECK(error().find('"', command + 14) == error().size() - 1);
        for (const char* special : {"!", "`", "$("}) CHECK(!contains(error().substr(command), special));
    }
}

TEST_CASE("a folder of Google's, which has no config.json, is a model too") {
    const TemporaryFolder folder;
    CHECK(!is_model(folder.path()));
    for (const char* file : {"bert_config.json", "bert_model.ckpt.index", "vocab.txt"}) write_text(folder / file, "");
    CHECK(is_model(folder.path()));
    CHECK(contains(test::message_of([&] { load_model(folder.path()); }), "but bert_model.ckpt.index: "));
}

TEST_CASE("a tensor too many, too few or of another shape is refused by name") {
    const TemporaryFolder folder;
    const SafetensorsFile original(kCases / "a" / "model.safetensors");
    fs::copy_file(kCases / "a" / "config.json", folder / "config.json");
    const std::vector<float> extra{1, 2};
    const auto written = [&](const std::string& without, const std::string& with, const std::string& flat) {
        SafetensorsWriter writer;
        for (const auto& [name, info] : original.tensors())
            if (name != without)
                writer.add_raw(name, info.dtype, original.bytes(name),
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

}  // namespace
}  // namespace dropforge
