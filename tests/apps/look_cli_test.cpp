// dropforge look: the batch that a step reads, whenever it is asked.
#include <doctest/doctest.h>

#include <chrono>

#include "data/batches/loader.h"
#include "model/checkpoint/checkpoint.h"
#include "model/run/folder.h"
#include "model/run/inputs.h"
#include "tests/support/pretrain_fixture.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

using Json = nlohmann::json;

Json looked(const Arguments& arguments) { return Json::parse(succeed(Arguments{"look", "--json"} + arguments).out); }

/// Checks the sequences against those of a batch.
void check_same(const Json& looked, const data::Batch& batch, const data::Vocabulary& vocabulary) {
    REQUIRE(std::ssize(looked["sequences"]) == batch.sequences);
    for (int64_t row = 0; row < batch.sequences; ++row) {
        const Json& sequence = looked["sequences"][static_cast<size_t>(row)];
        const auto begin = batch.input_ids.begin() + row * batch.length;
        CHECK(sequence["input_ids"].get<std::vector<int32_t>>() == std::vector<int32_t>(begin, begin + batch.length));
        Json masked = Json::array();
        for (int64_t slot = row * batch.masked; slot < (row + 1) * batch.masked; ++slot) {
            const auto i = static_cast<size_t>(slot);
            if (batch.masked_weights[i] > 0)
                masked.push_back(
                    {{"position", batch.masked_positions[i]}, {"label", vocabulary.token(batch.masked_labels[i])}});
        }
        CHECK(masked.size() > 0);
        CHECK(sequence["masked"] == masked);
    }
}

}  // namespace

TEST_CASE("the batch of a run's step is what its loader makes, and its table keeps the tokens of highest value") {
    const Place place;
    succeed(place.command(6, {"--quiet", "--set", "model.layers=4", "--method", "token_dropping", "--seed", "7"}));
    const data::Dataset dataset(place.data, data::Split::train);
    const auto vocabulary = data::Vocabulary::load(dataset.vocabulary_path());
    RunConfig config = *recorded_config(place.out);
    take_vocabulary(config, dataset, vocabulary);
    const auto method = config.method();
    data::Loader loader(dataset, vocabulary.special(), loader_options(config, *method));
    const std::vector<float> table = load_method_states(place.checkpoint(6)).at("importance");
    for (int64_t step = 1; step <= 3; ++step) {
        const Json batch = looked({place.out.string(), "--step", std::to_string(step), "--sequences", "9"});
        CHECK(batch["kind"] == "dropping");
        CHECK(batch["first_sample"] == 4 * (step - 1));
        check_same(batch, loader.next(), vocabulary);
        for (const Json& sequence : batch["sequences"]) {
            const auto kept = sequence["kept_positions"].get<std::vector<size_t>>();
            CHECK(kept.size() == 16);
            float lowest_kept = 1e9f, highest_dropped = -1e9f;
            for (size_t i = 0; i < 32; ++i) {
                const float value = table[sequence["input_ids"][i].get<size_t>()];
                if (std::ranges::binary_search(kept, i))
                    lowest_kept = std::min(lowest_kept, value);
                else
                    highest_dropped = std::max(highest_dropped, value);
            }
            CHECK(lowest_kept >= highest_dropped);
        }
    }
    const std::string text = succeed({"look", place.out.string(), "--step", "2", "--sequences", "1"}).out;
    CHECK(text.starts_with("step 2  dropping, epoch 0, samples 4 …\n"));
    CHECK(contains(text, "~dropped: 16 of 32 tokens stay"));
    CHECK(contains(text, "\n[CLS] "));
    CHECK(!contains(text, "\033"));
    const std::string table_of_nothing = succeed({"look", place.out.string(), "--step", "1000000", "--json"}).out;
    CHECK(Json::parse(table_of_nothing)["step"] == 1'000'000);
}

TEST_CASE("a data folder has the default recipe and what --set says; a million steps on, it is as quick") {
    const Place place;
    const Arguments sets = {"--set", "train.batch=4", "--set", "data.sequence=32", "--set", "train.seed=5"};
    const data::Dataset dataset(place.data, data::Split::train);
    const auto vocabulary = data::Vocabulary::load(dataset.vocabulary_path());
    data::BatchMaker maker(dataset, vocabulary.special(), {.seed = 5, .batch = 4, .length = 32, .max_predictions = 5});
    data::Batch batch;
    maker.fill(999'999, batch);
    const auto begin = std::chrono::steady_clock::now();
    const Json json = looked(Arguments{place.data.string(), "--step", "1000000"} + sets);
    CHECK(std::chrono::steady_clock::now() - begin <
          std::chrono::seconds(10));  // it is milliseconds on an idle machine
    check_same(json, batch, vocabulary);
    CHECK(json["kind"] == "dense");
    CHECK(!json["sequences"][0].contains("kept_positions"));
}

TEST_CASE("sentence pairs are shown without their padding, with segments and label") {
    const TemporaryFolder folder;
    std::string text;
    for (int document = 0; document < 60; ++document)
        text += fmt::format("{0} ba ne.\nlo mu {0} ti.\nra ke shi.\n\n", document % 3 == 0 ? "ba" : "ti lo ba");
    write_text(folder / "text.txt", text);
    const std::string data = (folder / "data").string();
    succeed({"prepare", "--quiet", "--text", (folder / "text.txt").string(), "--out", data, "--train-vocab", "40",
             "--sentences", "line"});
    const data::Dataset dataset(data, data::Split::train);
    const auto vocabulary = data::Vocabulary::load(dataset.vocabulary_path());
    data::BatchMaker maker(
        dataset, vocabulary.special(),
        {.batch = 8, .length = 32, .max_predictions = 5, .pairs = data::Pairs::next_sentence, .short_sequences = 0.5});
    data::Batch batch;
    maker.fill(2, batch);
    const Arguments sets = {
        "--set", "train.batch=8",           "--set", "data.sequence=32", "--set", "data.pairs=next_sentence",
        "--set", "data.short_sequences=0.5"};
    const Json json = looked(Arguments{data, "--step", "3", "--sequences", "8"} + sets);
    CHECK(json["epoch"] == maker.epoch(2));
    REQUIRE(json["sequences"].size() == 8);
    for (size_t row = 0; row < 8; ++row) {
        const Json& sequence = json["sequences"][row];
        const auto length = batch.lengths[row];
        CHECK(sequence["next_sentence_label"] == batch.next_sentence_labels[row]);
        const auto same = [&](const char* key, const std::vector<int32_t>& all) {
            const auto begin = all.begin() + static_cast<std::ptrdiff_t>(32 * row);
            CHECK(sequence[key].get<std::vector<int32_t>>() == std::vector<int32_t>(begin, begin + length));
        };
        same("input_ids", batch.input_ids);
        same("token_type_ids", batch.token_type_ids);
    }
    const std::string shown = succeed(Arguments{"look", data, "--step", "3", "--sequences", "8"} + sets).out;
    CHECK(!contains(shown, "[PAD]"));
    CHECK(contains(shown, "\nthe second segment follows the first\n"));
    CHECK(contains(shown, "\nit does not follow\n"));
}

TEST_CASE("what there is nothing to look at is refused in one line") {
    const Place place;
    const std::string data = place.data.string(), nothing = (place.folder / "nothing").string();
    check_refused({"look", nothing, "--step", "1"}, 1,
                  {nothing + ": neither a run (config.toml) nor a data folder (dataset.json)"});
    check_refused({"look", data, "--step", "0"}, 2, {"expected a whole number from 1 to 2147483647, got 0"});
    check_refused({"look", data}, 2, {"--step is required"});
    check_refused({"look", data, "--step", "1", "--set", "train.sed=1"}, 1, {"train.seed"});
    check_refused({"look", data, "--step", "1", "--set", "data.sequence=9999"}, 1, {"data.sequence"});
    succeed(place.command(2, {"--quiet"}));
    check_refused({"look", place.out.string(), "--step", "1", "--set", "train.seed=1"}, 1,
                  {"is a run, which has its configuration"});
    fs::remove_all(place.data);
    check_refused({"look", place.out.string(), "--step", "1"}, 1, {data});
}
