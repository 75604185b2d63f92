// evaluate, fill and pretrain --init on models that other programs wrote: the same figures, a note, or a refusal.
#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "data/tokenizer/wordpiece.h"
#include "tests/support/changed_model.h"
#include "tests/support/cli_fixture.h"

using namespace dropforge;
using namespace dropforge::test;
using Json = nlohmann::json;

namespace {

/// A run of two steps, made once.
const fs::path& trained() {
    static const TemporaryFolder folder;
    static const fs::path run = [] {
        succeed(pretrain_arguments(prepare_data(folder.path()), folder / "run", 2) +
                Arguments{"--quiet", "--set", "model.initializer_range=0.2"});
        return folder / "run";
    }();
    return run;
}
fs::path checkpoint_of(const fs::path& run, const char* step = "step-00000002") { return run / "checkpoints" / step; }
fs::path data_folder() { return trained().parent_path() / "data"; }

/// The checkpoint as a model of others, with its tokenizer's files.
struct Foreign : ChangedModel {
    Foreign() : ChangedModel(checkpoint_of(trained())) {
        for (const char* file : {"vocab.txt", "tokenizer_config.json"})
            fs::copy_file(checkpoint_of(trained()) / file, folder / file);
    }
    void write() const {
        write_config();
        write_file("model.safetensors", [](const std::string&) { return true; });
    }
    std::string path() const { return folder.path().string(); }
    void append_rows(const std::string& name, int64_t rows, float value) {
        Tensor& tensor = tensors.at(name);
        const auto columns = static_cast<int64_t>(tensor.values.size()) / tensor.shape[0];
        tensor.shape[0] += rows;
        tensor.values.resize(tensor.values.size() + static_cast<size_t>(rows * columns), value);
    }
};

Arguments evaluate(const fs::path& model) {
    return {"evaluate", "--model", model.string(), "--data", data_folder().string(), "--sequence", "32", "--json"};
}
double loss_of(const fs::path& model) { return Json::parse(succeed(evaluate(model)).out)["mlm_loss"].get<double>(); }

/// A run that begins with the model's weights and hardly changes them.
Arguments begin_with(const std::string& model, const fs::path& out) {
    return pretrain_arguments(data_folder(), out, 1) +
           Arguments{"--init", model, "--set", "train.lr=1e-12", "--set", "train.warmup_steps=0"};
}

const std::string kWord = "bert.embeddings.word_embeddings.weight", kDecoder = "cls.predictions.decoder.weight";

}  // namespace

TEST_CASE("a vocabulary padded past vocab.txt: the rows count in fill's probabilities, and --init cuts them") {
    Foreign model;
    model.config["vocab_size"] = 128;
    model.append_rows(kWord, 8, 0.0f);
    model.append_rows("cls.predictions.bias", 8, 3.0f);  // likelier than any word
    model.write();
    CHECK(loss_of(model.path()) > loss_of(checkpoint_of(trained())) + 0.5);
    const auto filled = Json::parse(
        succeed({"fill", "--model", model.path(), "--top", "1000", "--json", "bane [MASK]"}).out)[0]["masks"][0];
    CHECK(filled.size() == 120);
    double sum = 0;
    for (const auto& candidate : filled) sum += candidate["probability"].get<double>();
    CHECK(sum < 0.9);

    const fs::path out = model.folder / "run";
    const CommandResult begun = succeed(begin_with(model.path(), out));
    CHECK(contains(begun.error, kWord + " has 128 rows, the last 8 of tokens that the data lacks: left out"));
    // A rate of 1e-12 moves no weight by as much as its rounding, so f32 losses below 8 differ by two roundings at
    // most.
    CHECK(std::abs(loss_of(checkpoint_of(out, "step-00000001")) - loss_of(checkpoint_of(trained()))) <= 2 * 0x1p-21);

    model.config["vocab_size"] = 112;
    CHECK(contains(model.error(), kWord));
}

TEST_CASE("heads of other tasks: --init begins with the encoder and says what it left out") {
    Foreign model;
    model.tensors["classifier.weight"] = {{1, 32}, std::vector<float>(32)};
    model.write();
    CHECK(contains(succeed(evaluate(model.path())).error, "left out, as heads of other tasks: classifier.weight"));
    CHECK(contains(succeed(begin_with(model.path(), model.folder / "run")).error, "other tasks: classifier.weight"));
    CHECK(contains(succeed({"inspect", model.path()}).out, "other tasks: classifier.weight"));
    std::erase_if(model.tensors, [](const auto& entry) { return entry.first.starts_with("cls."); });
    model.write();
    check_refused(evaluate(model.path()), 1, {"no MLM head", "cls.predictions", "classifier.weight"});
    check_refused({"fill", "--model", model.path(), "a [MASK]"}, 1, {"no MLM head", "classifier.weight"});
    CHECK(contains(succeed(begin_with(model.path(), model.folder / "other")).error,
                   "starts anew, as there is no MLM head"));
}

TEST_CASE("a decoder of its own counts in evaluate and fill, and is refused for training") {
    Foreign model;
    model.tensors[kDecoder] = model.tensors[kWord];
    model.write();
    CHECK(loss_of(model.path()) == loss_of(checkpoint_of(trained())));
    for (float& value : model.tensors[kDecoder].values) value = -value;
    model.write();
    CHECK(std::abs(loss_of(model.path()) - loss_of(checkpoint_of(trained()))) > 0.01);
    check_refused(begin_with(model.path(), model.folder / "run"), 1, {"a decoder that is not the word table"});
}

TEST_CASE("fill gives a text the same candidates alone and beside longer ones, and about the same in bf16") {
    const std::string shorter = "bane [MASK]", longer = "[MASK] bane tilo [MASK] murake [MASK] shidor vanba bane tilo";
    const auto fill = [](const Arguments& more) {
        const Arguments command = {"fill", "--model", checkpoint_of(trained()).string(), "--json", "--top", "120"};
        return Json::parse(succeed(command + more).out);
    };
    const Json both = fill({longer, shorter});
    CHECK(both[0]["masks"].size() == 3);
    CHECK(both[0] == fill({longer})[0]);
    CHECK(both[1] == fill({shorter})[0]);
    std::map<std::string, double> exact, rounded;
    for (const auto& candidate : both[1]["masks"][0]) exact[candidate["token"]] = candidate["probability"];
    const Json in_bf16 = fill({"--precision", "bf16", "--device", "cpu", shorter});
    for (const auto& candidate : in_bf16[0]["masks"][0]) rounded[candidate["token"]] = candidate["probability"];
    REQUIRE(exact.size() == 120);
    REQUIRE(rounded.size() == 120);
    CHECK(rounded != exact);
    // A logit of 8 at most, rounded to 8 bits some ten times on its way.
    for (const auto& [token, probability] : exact)
        CHECK(std::abs(std::log(rounded[token] / probability)) <= 10 * 8 * 0x1p-9);
    check_refused(
        {"fill", "--model", checkpoint_of(trained()).string(), "--precision", "fp16", "--device", "cpu", shorter}, 1,
        {"fp16"});
}

TEST_CASE("prepare takes the vocabulary of a tokenizer.json") {
    const TemporaryFolder folder;
    const auto vocabulary = data::Vocabulary::load(data_folder() / "vocab.txt");
    Json ids;
    for (int32_t id = 0; id < vocabulary.size(); ++id) ids[vocabulary.token(id)] = id;
    Json json = {{"normalizer", {{"type", "BertNormalizer"}}},
                 {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
                 {"model", {{"type", "WordPiece"}, {"vocab", ids}}}};
    const auto prepare = [&] {
        write_text(folder / "tokenizer.json", json.dump());
        return Arguments{"prepare", "--quiet",
                         "--text",  (trained().parent_path() / "text.txt").string(),
                         "--vocab", (folder / "tokenizer.json").string(),
                         "--out",   (folder / "data").string()};
    };
    succeed(prepare());
    CHECK(read_text(folder / "data" / "vocab.txt") == read_text(data_folder() / "vocab.txt"));
    fs::remove_all(folder / "data");
    json["normalizer"]["lowercase"] = false;
    check_refused(prepare(), 1, {"tokenizer.json: cased, but the options (--cased", "say uncased"});
    CHECK(!fs::exists(folder / "data"));
    succeed(prepare() + Arguments{"--cased"});
    fs::remove_all(folder / "data");
    json["model"]["type"] = "BPE";
    check_refused(prepare(), 1, {"tokenizer.json: model: the type must be WordPiece, not BPE"});
    CHECK(!fs::exists(folder / "data"));
}

TEST_CASE("the tokenizer's switches: from prepare to checkpoint, compared by evaluate and --init") {
    const Foreign model;
    const fs::path& place = model.folder.path();
    const Arguments options = {"--strip-accents", "off", "--tokenize-chinese-chars", "off"};
    Arguments prepare = {"prepare",
                         "--text",
                         (trained().parent_path() / "text.txt").string(),
                         "--vocab",
                         (data_folder() / "vocab.txt").string(),
                         "--validation-fraction",
                         "0.1",
                         "--out",
                         (place / "data").string()};
    CHECK(contains(succeed(prepare + options).out, "uncased, accents kept, ideographs not split"));
    CHECK(contains(succeed(prepare + options).out, "nothing to do"));
    check_refused(prepare, 1, {"strip_accents is no in the folder, none now"});
    prepare.back() = (place / "usual").string();
    succeed(prepare + Arguments{"--strip-accents", "on", "--quiet"});
    CHECK(contains(succeed(prepare).out, "nothing to do"));
    const auto receipt = Json::parse(read_text(place / "usual" / "dataset.json"));
    CHECK(!receipt["made_from"].contains("strip_accents"));

    succeed(pretrain_arguments(place / "data", place / "run", 2) + Arguments{"--quiet"});
    const fs::path checkpoint = checkpoint_of(place / "run");
    const auto config = Json::parse(read_text(checkpoint / "tokenizer_config.json"));
    CHECK(config["do_lower_case"] == true);
    CHECK(config["strip_accents"] == false);
    CHECK(config["tokenize_chinese_chars"] == false);
    const std::string differs = "uncased, the model is uncased, accents kept, ideographs not split";
    check_refused(evaluate(checkpoint), 1, {differs});
    check_refused(begin_with(checkpoint.string(), place / "next"), 1, {differs});
    CHECK(!fs::exists(place / "next"));
}
