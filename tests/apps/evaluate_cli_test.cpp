// The commands that read models: evaluate, fill, inspect, parity, run as users run them, with good and with bad input.
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/safetensors.h"
#include "tests/support/cli_fixture.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

/// A short run, made once for all cases; each works on a copy.
const fs::path& trained() {
    static const TemporaryFolder folder;
    static const fs::path run = [] {
        const CommandResult result =
            run_command(pretrain_arguments(prepare_data(folder.path()), folder / "run", 4) +
                        Arguments{"--quiet", "--set", "checkpoint.every=2", "--set", "model.initializer_range=0.2"});
        REQUIRE_MESSAGE(result.exit_code == 0, result.error);
        return folder / "run";
    }();
    return run;
}

struct Place {
    TemporaryFolder folder;
    fs::path data = folder / "data", run = folder / "run", model = run / "checkpoints" / "step-00000004";

    Place() {
        fs::copy(trained().parent_path(), folder.path(), fs::copy_options::recursive);
        REQUIRE(fs::exists(model));
    }
    /// The checkpoint as a folder that others wrote: without checksums.
    fs::path without_manifest() const {
        fs::copy(model, folder / "plain");
        for (const char* ours : {"manifest.json", "trainer.safetensors"}) fs::remove(folder / "plain" / ours);
        return folder / "plain";
    }
};

nlohmann::json json_of(const Arguments& arguments) {
    return nlohmann::json::parse(succeed(arguments + Arguments{"--json"}).out);
}

/// A batch of two sequences of eight tokens, one masked each. `id` is one of them.
void write_batch(const fs::path& path, int32_t id) {
    std::vector<int32_t> ids(16, 7), positions{3, 4}, labels{8, 9};
    ids[5] = id;
    const std::vector<float> weights{1, 1};
    SafetensorsWriter writer;
    const auto add = [&](const char* name, const std::vector<int32_t>& values, std::vector<int64_t> shape) {
        writer.add_raw(name, "I32", std::as_bytes(std::span(values)), std::move(shape));
    };
    add("input_ids", ids, {2, 8});
    add("masked_positions", positions, {2, 1});
    add("masked_labels", labels, {2, 1});
    writer.add("masked_weights", std::span<const float>(weights), {2, 1});
    writer.write(path);
}

}  // namespace

TEST_CASE("evaluate: figures that repeat, and follow the weights") {
    const Place place;
    const Arguments command = {"evaluate",   "--model", place.model.string(), "--data", place.data.string(),
                               "--sequence", "32"};
    const auto json = json_of(command);
    const double loss = json["mlm_loss"].get<double>();
    CHECK(loss > 0);
    CHECK(json["perplexity"].get<double>() == std::exp(loss));  // JSON has every digit of both
    CHECK(json["masked"].get<int64_t>() > 0);
    CHECK(json_of(command) == json);
    CHECK(json_of(command + Arguments{"--threads", "1", "--batch", "1"})["mlm_accuracy"] == json["mlm_accuracy"]);
    CHECK(json_of({"evaluate", "--model", (place.run / "checkpoints/step-00000002").string(), "--data",
                   place.data.string(), "--sequence", "32"})["mlm_loss"] != json["mlm_loss"]);
    CHECK(contains(succeed(command).out, fmt::format("MLM loss      {:.4f} nats", loss)));
}

TEST_CASE("evaluate: bad input") {
    const Place place;
    const std::string data = place.data.string(), model = place.model.string();
    const auto refused = [](const std::string& with_model, const std::string& with_data,
                            std::initializer_list<std::string> parts, const Arguments& more = {"--sequence", "32"}) {
        check_refused(Arguments{"evaluate", "--model", with_model, "--data", with_data} + more, 1, parts);
    };
    refused("/none", data, {"/none/model.safetensors", "No such file"});
    refused(model, "/none", {"/none: no such data folder"});
    refused(model, data, {"--sequence 65", "64 positions"}, {"--sequence", "65"});
    refused(model, prepare_data(place.folder / "smaller", 400, 110).string(), {"120 tokens", "110"});
    refused(model, prepare_data(place.folder / "other", 400, 120, 2).string(), {"another vocabulary"});
    const fs::path cased = place.folder / "cased";
    fs::copy(place.model, cased);
    fs::remove(cased / "manifest.json");  // as another program writes it
    write_text(cased / "tokenizer_config.json", R"({"do_lower_case": false})");
    refused(cased.string(), data, {"uncased, the model is cased"});
    fs::remove(cased / "tokenizer_config.json");
    CHECK(contains(succeed({"evaluate", "--model", cased.string(), "--data", data, "--sequence", "32"}).error,
                   "tokenizer_config.json: taken for uncased, as transformers does"));
    check_refused({"evaluate", "--model", model}, 2, {"--data"});
    check_refused({"evaluate", "--model", model, "--data", data, "--precision", "f8"}, 2, {"--precision"});

    const fs::path shard = place.data / "validation-00000.shard";
    flip_bit(shard, 2000);
    refused(model, data, {shard.string(), "offset", "checksum", "expected"});
    const std::string none = (place.folder / "none").string();
    REQUIRE(run_command({"prepare", "--quiet", "--text", (place.folder / "text.txt").string(), "--out", none, "--vocab",
                         (place.model / "vocab.txt").string(), "--validation-fraction", "0"})
                .exit_code == 0);
    refused(model, none, {none, "validation split"});
}

TEST_CASE("a damaged model is refused by every command that reads it") {
    const Place place;
    write_batch(place.folder / "batch", 8);
    const fs::path plain = place.without_manifest(), out = place.folder / "result";
    const auto refused = [&](const fs::path& model, std::initializer_list<std::string> parts) {
        const std::string name = model.string();
        check_refused({"evaluate", "--model", name, "--data", place.data.string(), "--sequence", "32"}, 1, parts);
        check_refused({"fill", "--model", name, "a [MASK]"}, 1, parts);
        check_refused({"inspect", name}, 1, parts);
        check_refused({"parity", "--model", name, "--batch", (place.folder / "batch").string(), "--out", out.string()},
                      1, parts);
        CHECK(!fs::exists(out));
    };
    flip_bit(place.model / "model.safetensors", 9000);
    refused(place.model, {"model.safetensors", "offset 0", "checksum", "expected"});
    flip_bit(place.model / "model.safetensors", 9000);
    truncate(place.model / "model.safetensors", 1);
    refused(place.model, {"model.safetensors", "bytes expected"});

    // Of others: no checksums, but a strict reader.
    const fs::path file = plain / "model.safetensors";
    const std::string intact = read_text(file);
    truncate(file, 1);
    refused(plain, {file.string(), "bytes of data"});
    write_text(file, intact.substr(0, 5));
    refused(plain, {file.string()});
    write_text(file, intact);
    flip_bit(file, 0);
    refused(plain, {file.string()});
    flip_bit(file, 0);
    flip_bit(file, 8);
    refused(plain, {file.string(), "header"});
    flip_bit(file, 8);
    write_text(plain / "config.json", "{}");
    refused(plain, {"config.json", "vocab_size"});
    fs::remove(file);
    refused(plain, {"plain"});
}

TEST_CASE("fill: the likeliest words of each [MASK]; bad input") {
    const Place place;
    const std::string model = place.model.string();
    const auto json = json_of({"fill", "--model", model, "--top", "3", "bane [MASK] tilo [MASK]."});
    REQUIRE(json.size() == 1);
    REQUIRE(json[0]["masks"].size() == 2);
    double last = 1;
    for (const auto& candidate : json[0]["masks"][0]) {
        CHECK(candidate["probability"].get<double>() <= last);
        last = candidate["probability"].get<double>();
    }
    CHECK(json[0]["masks"][0].size() == 3);
    CHECK(contains(succeed({"fill", "--model", model, "bane [MASK]"}).out, " %"));
    check_refused({"fill", "--model", model, "no mask"}, 1, {"no mask", "[MASK]"});
    std::string text = "[MASK]";
    for (int i = 0; i < 70; ++i) text += " .";
    check_refused({"fill", "--model", model, text}, 1, {"73 tokens", "64 positions"});
    check_refused({"fill", "--model", model}, 2, {"text"});
    check_refused({"fill", "--model", model, "a [MASK]", "--tpo", "3"}, 2, {"--tpo"});
    // As they are: what is in brackets is no list.
    for (const std::string text : {"[MASK]", "[MASK] bane [MASK]", "[MASK], bane, tilo [MASK]"}) {
        CHECK(succeed({"fill", "--model", model, text}).out.starts_with(text + "\n"));
        CHECK(json_of({"fill", "--model", model, "bane [MASK]", text, "--top", "3"})[1]["text"] == text);
    }
    check_refused({"fill", "--model", model, "--top", "0", "a [MASK]"}, 2, {"--top"});
    CHECK(succeed({"fill", "--model", model, "--", "-[MASK]", "--[MASK]"}).out.starts_with("-[MASK]\n"));
    check_refused({"fill", "--model", model, "[MASK]", "-[MASK]"}, 2, {"-[MASK]"});
    // Special tokens are found in the text, whatever stands around them.
    CHECK(json_of({"fill", "--model", model, "bane[SEP]tilo [MASK]."}) !=
          json_of({"fill", "--model", model, "bane [sep] tilo [MASK]."}));
    CHECK(json_of({"fill", "--model", model, "bane[SEP]tilo [MASK]."})[0]["masks"] ==
          json_of({"fill", "--model", model, "bane [SEP] tilo [MASK] ."})[0]["masks"]);
    const fs::path plain = place.without_manifest();
    const std::string vocabulary = read_text(plain / "vocab.txt");
    write_text(plain / "vocab.txt", vocabulary + "more\n");
    check_refused({"fill", "--model", plain.string(), "a [MASK]"}, 1, {plain.string(), "121", "120"});
    write_text(plain / "vocab.txt", vocabulary + vocabulary.substr(0, vocabulary.find('\n') + 1));
    check_refused({"fill", "--model", plain.string(), "a [MASK]"}, 1, {"vocab.txt, line 121", "duplicate"});
    fs::remove(plain / "vocab.txt");
    check_refused({"fill", "--model", plain.string(), "a [MASK]"}, 1, {"neither vocab.txt nor tokenizer.json"});
}

TEST_CASE("inspect: each kind of thing, whole and damaged") {
    const Place place;
    const auto kind = [](const fs::path& what) { return json_of({"inspect", what.string()})["kind"]; };
    CHECK(kind("bert-mini") == "configuration");
    CHECK(kind(place.run / "config.toml") == "configuration");
    CHECK(kind(place.data) == "data");
    CHECK(kind(place.data / "train-00000.shard") == "shard");
    CHECK(kind(place.model) == "checkpoint");
    CHECK(kind(place.without_manifest()) == "model");
    const auto run = json_of({"inspect", place.run.string()});
    CHECK(run["kind"] == "run");
    CHECK(run["checkpoints"].size() == 2);
    CHECK(contains(succeed({"inspect", place.model.string()}).out, "step        4\n"));

    const fs::path svg = place.folder / "plan.svg";
    succeed({"inspect", "bert-tiny", "--svg", svg.string()});
    CHECK(read_text(svg).starts_with("<svg"));
    check_refused({"inspect", place.data.string(), "--svg", svg.string()}, 1, {"only a configuration"});
    check_refused({"inspect", "bert-tiny", "--svg", "/proc/plan.svg"}, 1, {"/proc/plan.svg", "cannot write"});
    check_refused({"inspect", "/none"}, 1, {"/none"});
    check_refused({"inspect", place.folder.path().string()}, 1, {"neither a data folder"});
    check_refused({"inspect"}, 2, {"what"});

    flip_bit(place.data / "train-00000.shard", 6000);
    check_refused({"inspect", place.data.string()}, 1, {"train-00000.shard", "offset", "checksum", "expected"});
    check_refused({"inspect", (place.data / "train-00000.shard").string()}, 1, {"offset", "checksum"});
    flip_bit(place.model / "trainer.safetensors", 6000);
    const CommandResult result = run_command({"inspect", place.run.string()});
    CHECK(result.exit_code == 1);
    CHECK(contains(result.out, "step 2: intact"));
    CHECK(contains(result.out, "step 4: DAMAGED: "));
    CHECK(result.error.starts_with("error: checkpoint of step 4 is damaged: "));
    CHECK(std::ranges::count(result.error, '\n') == 1);
}

TEST_CASE("parity: a result, or one line and no result") {
    const Place place;
    const fs::path batch = place.folder / "batch", out = place.folder / "result";
    const auto command = [&](const Arguments& more = {}) {
        return Arguments{"parity", "--model", place.model.string(), "--batch", batch.string(), "--out", out.string()} +
               more;
    };
    check_refused(command(), 1, {batch.string(), "No such file"});
    write_batch(batch, 120);
    check_refused(command(), 1, {batch.string(), "input_ids[5] is 120", "0 … 119"});
    write_batch(batch, -1);
    check_refused(command(), 1, {"input_ids[5] is -1"});
    check_refused(command({"--method", "none"}), 2, {"--method"});
    check_refused(command({"--steps", "-1"}), 2, {"--steps"});
    check_refused(command({"--lambda", "-0.1"}), 2, {"--lambda", "a number ≥ 0", "-0.1"});
    check_refused(command({"--lambda", "nan"}), 2, {"--lambda", "a number ≥ 0", "nan"});
    check_refused(command({"--lr", "nan"}), 2, {"--lr", "a number ≥ 0", "nan"});
    check_refused(command({"--importance-beta", "1"}), 2, {"--importance-beta", "[0, 1)"});
    check_refused(command({"--keep", "0"}), 2, {"--keep", "from 1 to "});
    check_refused(command({"--keep", "2.5"}), 2, {"--keep", "2.5"});
    check_refused(command({"--pooled", "max"}), 2, {"--pooled", "cls", "mean"});
    check_refused(command({"--kl-normalization", "none"}), 2, {"--kl-normalization", "tokens", "sequences"});
    check_refused(command({"--share-trunk", "maybe"}), 2, {"--share-trunk", "on", "off"});
    check_refused({"parity", "--model", place.model.string()}, 2, {"--batch"});
    CHECK(!fs::exists(out));
    write_batch(batch, 119);
    truncate(batch, 1);
    check_refused(command(), 1, {batch.string(), "bytes of data"});
    write_batch(batch, 119);
    check_refused({"parity", "--model", place.model.string(), "--batch", batch.string(), "--out", "/proc/result"}, 1,
                  {"/proc/result", "cannot write"});
    succeed(command({"--steps", "2", "--optimizer", "lamb"}));
    const SafetensorsFile result(out);
    CHECK(result.info("losses").shape == std::vector<int64_t>{2});
    CHECK(result.has("gradient/bert.embeddings.word_embeddings.weight"));
}
