// dropforge export: the model of a run in a folder of its own.
#include <doctest/doctest.h>

#include "model/checkpoint/huggingface.h"
#include "model/network/bert.h"
#include "model/network/names.h"
#include "model/training/forward_pass.h"
#include "tests/support/pretrain_fixture.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

using Json = nlohmann::json;

/// Logits at the [MASK] of expected["input_ids"], of the model in a folder.
std::vector<float> logits(const fs::path& folder, const Json& expected) {
    const Model model = load_model(folder);
    data::Batch batch{.sequences = 1, .masked = 1, .input_ids = expected["input_ids"].get<std::vector<int32_t>>()};
    batch.length = std::ssize(batch.input_ids);
    batch.masked_positions = {expected["mask_position"].get<int32_t>()};
    ForwardPass pass(model.parameters,
                     hidden_states(model.parameters, {.batch = 1, .sequence = batch.length, .masked = 1}),
                     model.values.as<float>(), DType::f32, kernels::cpu());
    pass.run(batch);
    const std::span<const float> row = pass.output<float>(names::kLogits);
    return {row.begin(), row.begin() + model.parameters.config().vocabulary};
}

}  // namespace

TEST_CASE("an exported model has the checkpoint's weights and tokenizer, a card, and numbers to check it by") {
    const Place place;
    succeed(place.command(
        6, {"--quiet", "--set", "checkpoint.every=3", "--set", "eval.every=3", "--set", "checkpoint.keep_last=2"}));
    const fs::path out = place.folder / "new" / "my model";
    const Json said = Json::parse(succeed({"export", place.out.string(), "--out", out.string(), "--json"}).out);
    CHECK(said["step"] == 6);
    CHECK(said["model"] == out.string());
    CHECK(said["files"] == Json{"README.md", "config.json", "model.safetensors", "parity.json",
                                "special_tokens_map.json", "tokenizer_config.json", "vocab.txt"});
    for (const char* file : {"config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json"}) {
        CAPTURE(file);
        CHECK(read_text(out / file) == read_text(place.checkpoint(6) / file));
    }

    const std::string card = read_text(out / "README.md");
    CHECK(card.starts_with("---\nlibrary_name: transformers\npipeline_tag: fill-mask\n"));
    const Json evaluation = metrics_lines(place.out).back();
    REQUIRE(evaluation["step"] == 6);
    CHECK(contains(card, fmt::format("      value: {:.4f}\n", evaluation["eval_loss"].get<double>())));
    for (const std::string part :
         {"| steps | 6 of 6, 4 sequences of 32 tokens each |", "| training text | ", "| vocabulary | ",
          "| computed by | kernels cpu ", "\ndropforge pretrain bert-tiny --data ", "\n[train]\nmethod = \"dense\"\n"})
        CHECK_MESSAGE(contains(card, part), part);

    const Json expected = Json::parse(read_text(out / "parity.json"));
    const std::vector<float> row = logits(out, expected);
    float before = expected["top"][0]["logit"];
    for (const Json& top : expected["top"]) {
        CHECK(top["logit"] == row[top["id"].get<size_t>()]);
        CHECK(top["logit"].get<float>() <= before);
        before = top["logit"];
    }
    CHECK(std::ranges::count_if(row, [&](float logit) { return logit > before; }) < 10);

    const fs::path earlier = place.folder / "earlier";
    fs::create_directory(earlier);
    succeed({"export", place.out.string(), "--out", earlier.string(), "--step", "3"});
    CHECK(read_text(earlier / "model.safetensors") == read_text(place.checkpoint(3) / "model.safetensors"));
    CHECK(contains(read_text(earlier / "README.md"), "after step 3 |"));

    fs::remove_all(place.data);
    const fs::path later = place.folder / "later";
    succeed({"export", place.out.string(), "--out", later.string()});
    CHECK_FALSE(contains(read_text(later / "README.md"), "| training text | "));
    CHECK(contains(read_text(later / "README.md"), "| fingerprint of the training data | "));
}

TEST_CASE("what cannot be exported leaves nothing behind") {
    const Place place;
    succeed(place.command(2, {"--quiet"}));
    const fs::path out = place.folder / "a" / "b";
    const std::string run = place.out.string(), to = out.string();
    check_refused({"export", run}, 2, {"--out is required"});
    check_refused({"export", run, "--out", to, "--step", "1"}, 1,
                  {"there is no checkpoint after step 1", "the newest is after step 2"});
    check_refused({"export", place.data.string(), "--out", to}, 1, {"not a run folder"});
    check_refused({"export", run, "--out", place.data.string()}, 1, {"is there already"});
    std::string weights = read_text(place.checkpoint(2) / "model.safetensors");
    weights[weights.size() / 2] ^= 1;
    write_text(place.checkpoint(2) / "model.safetensors", weights);
    check_refused({"export", run, "--out", to}, 1, {"model.safetensors", "checksum"});
    fs::remove_all(place.out / "checkpoints");
    check_refused({"export", run, "--out", to}, 1, {"there is no checkpoint"});
    CHECK_FALSE(fs::exists(out.parent_path()));
}
