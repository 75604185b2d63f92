// The commands with token dropping and ScTD: what runs report, and what `inspect` shows of them.
#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "model/run/folder.h"
#include "tests/support/pretrain_fixture.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

/// pretrain of a model with four layers, which dropping wants.
Arguments with_method(const Place& place, const fs::path& out, int64_t steps, const char* method,
                      std::initializer_list<const char*> settings) {
    Arguments command = pretrain_arguments(place.data, out, steps) + Arguments{"--method", method};
    command = command + Arguments{"--set", "model.layers=4"};
    for (const char* setting : settings) command = command + Arguments{"--set", setting};
    return command;
}

fs::path checkpoint_of(const fs::path& run) { return list_checkpoints(run).back().path; }

}  // namespace

TEST_CASE("keep = all tokens: the run is the dense one, bit for bit") {
    const Place place;
    for (const char* precision : {"train.precision=f32", "train.precision=bf16"}) {
        CAPTURE(std::string(precision));
        const fs::path dense = place.folder / (std::string("dense-") + precision),
                       dropping = place.folder / (std::string("dropping-") + precision);
        succeed(with_method(place, dense, 6, "dense", {precision, "log.every=2", "eval.every=3"}));
        succeed(with_method(place, dropping, 6, "token_dropping",
                            {precision, "log.every=2", "eval.every=3", "dropping.keep=1.0"}));
        std::string metrics;
        for (auto& line : metrics_lines(dropping)) {
            if (line.contains("loss")) CHECK(line["kept_fraction"] == 1);
            line.erase("kept_fraction");
            metrics += line.dump() + '\n';
        }
        CHECK(metrics == metrics_of(dense));
        const bool same = read_text(checkpoint_of(dropping) / "model.safetensors") ==
                          read_text(checkpoint_of(dense) / "model.safetensors");
        CHECK(same);
    }
}

TEST_CASE("metrics.jsonl of ScTD: its terms where the interval had an align step, the kept tokens everywhere") {
    const Place place;
    // Align steps 6 and 12; steps 1 … 3 and 16 are dense.
    succeed(with_method(place, place.out, 16, "sctd",
                        {"log.every=2", "eval.every=5", "sctd.interval=6", "sctd.lambda=0.25", "dropping.start_step=3",
                         "dropping.end_step=15", "dropping.keep=0.25"}));
    int64_t lines = 0;
    for (const auto& line : metrics_lines(place.out)) {
        const int64_t step = line["step"];
        CAPTURE(step);
        if (!line.contains("loss")) {  // an evaluation, of the full model
            CHECK(!line.contains("kept_fraction"));
            continue;
        }
        ++lines;
        const double kept = step == 2 ? 1 : step == 4 || step == 16 ? (1 + 0.25) / 2 : 0.25;
        CHECK(line["kept_fraction"] == kept);
        const bool aligned = step == 6 || step == 12;
        for (const char* key : {"mlm_loss_full", "kl_local", "kl_global", "lambda"})
            CHECK_MESSAGE(line.contains(key) == aligned, key);
        if (!aligned) continue;
        CHECK(line["lambda"] == 0.25);
        CHECK(line["mlm_loss_full"] > 0);
        CHECK(line["kl_local"] > 0);
        CHECK(line["kl_global"] > 0);
    }
    CHECK(lines == 8);

    succeed(
        with_method(place, place.folder / "one", 3, "sctd", {"log.every=1", "sctd.interval=2", "sctd.full_mlm=false"}));
    const auto one = metrics_lines(place.folder / "one");
    CHECK(one[1].contains("kl_local"));
    CHECK(!one[1].contains("mlm_loss_full"));
    succeed(with_method(place, place.folder / "dropping", 2, "token_dropping", {"log.every=1"}));
    for (const auto& line : metrics_lines(place.folder / "dropping"))
        if (line.contains("loss")) CHECK(line["kept_fraction"] == 0.5);
    succeed(with_method(place, place.folder / "dense", 2, "dense", {"log.every=1"}));
    for (const auto& line : metrics_lines(place.folder / "dense")) CHECK(!line.contains("kept_fraction"));
}

TEST_CASE("a checkpoint of another method, or of another vocabulary, is refused for a resume, by key") {
    const Place place;
    succeed(with_method(place, place.out, 2, "sctd", {}));
    const auto before = files_below(place.out);
    const std::string from = checkpoint_of(place.out).string();
    check_refused(with_method(place, place.out, 4, "dense", {}), 1,
                  {R"(train.method is "sctd" there and "dense" here)"});
    check_refused(with_method(place, place.out, 4, "token_dropping", {}), 1,
                  {R"(train.method is "sctd" there and "token_dropping" here)"});
    check_refused(with_method(place, place.out, 4, "sctd", {"dropping.keep=8"}), 1,
                  {"dropping.keep is 0.5 there and 8"});
    check_refused(with_method(place, place.out, 4, "sctd", {"dropping.routing=random"}), 1,
                  {R"(dropping.routing is "importance" there and "random" here)"});
    check_refused(with_method(place, place.folder / "new", 4, "dense", {}) + Arguments{"--resume", from}, 1,
                  {from, R"(train.method is "sctd" there and "dense" here)"});
    CHECK(files_below(place.out) == before);
    // Data at the same place with another vocabulary.
    const auto checkpoints = files_below(place.out / "checkpoints");
    fs::remove_all(place.data);
    prepare_data(place.folder.path(), 400, 110);
    check_refused(with_method(place, place.out, 4, "sctd", {}), 1, {from, "vocab.txt", "120", "110"});
    check_refused(with_method(place, place.folder / "new", 4, "sctd", {}) + Arguments{"--resume", from}, 1,
                  {from, "vocab.txt", "120", "110"});
    CHECK(!fs::exists(place.folder / "new"));
    CHECK(files_below(place.out / "checkpoints") == checkpoints);
}

TEST_CASE("inspect of a checkpoint: what is kept first and dropped first, in words") {
    const Place place;
    succeed(with_method(place, place.out, 8, "sctd", {"dropping.importance_beta=0.5"}));
    const std::string checkpoint = checkpoint_of(place.out).string();
    const auto json = nlohmann::json::parse(succeed({"inspect", checkpoint, "--json"}).out);
    const std::string text = succeed({"inspect", checkpoint}).out;
    std::vector<double> values;
    for (const char* key : {"most_important", "least_important"}) {
        CAPTURE(std::string(key));
        REQUIRE(json[key].size() == 20);
        std::vector<double> list;
        for (const auto& entry : json[key]) {
            const std::string token = entry["token"];
            CHECK(token.find('[') == std::string::npos);  // [CLS] and its like are always kept, which says nothing
            CHECK(contains(text, fmt::format("{} {:.2f}", token, entry["importance"].get<double>())));
            list.push_back(entry["importance"]);
        }
        if (key == std::string("most_important"))
            CHECK(std::ranges::is_sorted(list, std::greater{}));
        else
            CHECK(std::ranges::is_sorted(list));
        values.insert(values.end(), list.begin(), list.end());
    }
    CHECK(values.front() == 10);  // ids whose loss is not known yet
    CHECK(values[20] < 8);        // ids with a loss below ln 120 once or more often, β = ½
    CHECK(contains(text, "kept first  "));
    CHECK(contains(text, "dropped     "));

    succeed(with_method(place, place.folder / "dense", 2, "dense", {}));
    const auto dense =
        nlohmann::json::parse(succeed({"inspect", checkpoint_of(place.folder / "dense").string(), "--json"}).out);
    CHECK(!dense.contains("most_important"));
}

TEST_CASE("inspect --svg of a configuration with ScTD: a picture of each Program") {
    const Place place;
    const fs::path pictures = place.folder / "pictures", toml = place.folder / "sctd.toml";
    fs::create_directories(pictures);
    write_text(toml,
               "[model]\npreset = \"bert-mini\"\n\n[train]\nmethod = \"sctd\"\nbatch = 8\nmicro_batch = 4\n"
               "\n[dropping]\nend_step = 900000\n");
    const auto json = nlohmann::json::parse(
        succeed({"inspect", toml.string(), "--json", "--svg", (pictures / "plan.svg").string()}).out);
    std::vector<std::string> programs, names;
    for (const auto& program : json["programs"]) programs.push_back(program["program"]);
    // Dense steps after end_step, and each with a second Program for the micro-batches that add to the first.
    CHECK(programs == std::vector<std::string>{"dense step", "dense step, accumulating", "token-dropping step",
                                               "token-dropping step, accumulating", "align step",
                                               "align step, accumulating", "optimizer step", "evaluation"});
    for (const auto& entry : fs::directory_iterator(pictures)) {
        names.push_back(entry.path().filename().string());
        CHECK(contains(read_text(entry.path()), "<svg"));
    }
    std::ranges::sort(names);
    CHECK(names == std::vector<std::string>{"plan-align-step-accumulating.svg", "plan-align-step.svg",
                                            "plan-dense-step-accumulating.svg", "plan-evaluation.svg",
                                            "plan-optimizer-step.svg", "plan-token-dropping-step-accumulating.svg",
                                            "plan-token-dropping-step.svg", "plan.svg"});
}
