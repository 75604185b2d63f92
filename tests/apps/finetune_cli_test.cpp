// The command `dropforge finetune`, run as users run it: golden runs, several seeds, what `evaluate --task` makes of
// the checkpoint, and runs that are killed.
#include "tests/support/golden_run.h"
#include "tests/support/killed_run.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

void check_golden(const char* name, const char* run, DType dtype) {
    CAPTURE(std::string(name));
    CAPTURE(std::string(name_of(dtype)));
    const TemporaryFolder folder;
    const GoldenRun golden(name, run);
    succeed(golden.command(folder / "out", {"--quiet", "--precision", name_of(dtype)}));
    golden.check(folder / "out", dtype);
}

}  // namespace

TEST_CASE("golden runs in f32: steps, evaluations, logits and weights within the errors of another implementation") {
    check_golden("single", "main", DType::f32);
    check_golden("copa", "best", DType::f32);
    check_golden("token", "main", DType::f32);
    check_golden("squad2", "main", DType::f32);
}

TEST_CASE("golden runs in bf16") {
    check_golden("single", "main", DType::bf16);
    check_golden("squad2", "main", DType::bf16);
}

TEST_CASE("evaluate --task gives the bits of the run: logits, predictions and metrics") {
    constexpr std::pair<const char*, const char*> kCases[] = {{"single", "predictions.tsv"},
                                                              {"copa", "predictions.tsv"},
                                                              {"token", "predictions.conll"},
                                                              {"squad2", "null_odds.json"}};
    for (const auto& entry : kCases) {
        const std::string name = entry.first;
        CAPTURE(name);
        const TemporaryFolder folder;
        const GoldenRun golden(name, "main");
        const fs::path out = folder / "out", again = folder / "again";
        succeed(golden.command(out,
                               {"--quiet", "--precision", "f32", "--set", "train.epochs=1", "--set", "train.steps=0"}));
        Arguments command = {"evaluate",     "--model", (out / "checkpoint").string(), "--task",
                             golden.task(),  "--eval",  golden.evaluated().string(),   "--out",
                             again.string(), "--json"};
        for (const std::string& setting : golden.settings())
            if (setting.starts_with("data.")) command = command + Arguments{"--set", setting};
        const Json printed = Json::parse(succeed(command).out);
        CHECK(printed.at("metrics") == Json::parse(read_text(out / "result.json")).at("seeds")[0].at("metrics"));
        for (const char* file : {"eval.safetensors", entry.second}) {
            const bool same = read_text(out / file) == read_text(again / file);
            CHECK_MESSAGE(same, file);
        }
    }
}

TEST_CASE("--seeds: each is the run of that seed alone; result.json has the mean and the standard deviation") {
    const TemporaryFolder folder;
    const GoldenRun golden("single", "main");
    const Arguments settings = {"--quiet", "--set", "data.shuffle=true", "--set", "train.epochs=2"};
    fs::create_directory(folder / "both");
    write_text(folder / "both" / "result.json.tmp123", "");  // as a killed process leaves it
    succeed(golden.command(folder / "both", settings + Arguments{"--seeds", "2", "--seed", "5"}));
    CHECK(!fs::exists(folder / "both" / "result.json.tmp123"));
    std::vector<double> accuracies;
    for (const char* seed : {"5", "6"}) {
        succeed(golden.command(folder / seed, settings + Arguments{"--seed", seed}));
        const fs::path both = folder / "both" / ("seed-" + std::string(seed));
        for (const char* file : {"checkpoint/model.safetensors", "eval.safetensors", "predictions.tsv"}) {
            const bool same = read_text(both / file) == read_text(folder / seed / file);
            CHECK_MESSAGE(same, seed << " " << file);
        }
        accuracies.push_back(
            Json::parse(read_text(folder / seed / "result.json")).at("mean").at("accuracy").get<double>());
    }
    CHECK(read_text(folder / "5" / "eval.safetensors") != read_text(folder / "6" / "eval.safetensors"));
    const Json result = Json::parse(read_text(folder / "both" / "result.json"));
    CHECK(result.at("seeds").size() == 2);
    CHECK(result.at("seeds")[1].at("seed") == 6);
    CHECK(result.at("mean").at("accuracy") == (accuracies[0] + accuracies[1]) / 2);
    // The mean is rounded by half an ulp of a number up to 1, 2^-54, and so are the differences from it and the root.
    const double deviation = std::abs(accuracies[0] - accuracies[1]) / std::sqrt(2.0);
    CHECK(std::abs(result.at("std").at("accuracy").get<double>() - deviation) <= 4 * 0x1p-54);
}

TEST_CASE("a model whose vocabulary is in tokenizer.json alone is trained, and is written with a vocab.txt") {
    const TemporaryFolder folder;
    const GoldenRun golden("single", "main");
    const fs::path model = folder / "model";
    fs::create_directory(model);
    for (const char* file : {"config.json", "model.safetensors", "tokenizer_config.json"})
        fs::copy_file(golden.folder() / file, model / file);
    Json ids = Json::object();
    std::istringstream lines(read_text(golden.folder() / "vocab.txt"));
    for (std::string token; std::getline(lines, token);) ids[token] = ids.size();
    const Json tokenizer = {
        {"normalizer", {{"type", "BertNormalizer"}, {"lowercase", true}}},
        {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
        {"model",
         {{"type", "WordPiece"}, {"unk_token", "[UNK]"}, {"continuing_subword_prefix", "##"}, {"vocab", ids}}}};
    write_text(model / "tokenizer.json", tokenizer.dump());
    const Arguments settings = {"--quiet", "--precision", "f32", "--set", "train.epochs=1"};
    Arguments command = golden.command(folder / "json", settings);
    *std::ranges::find(command, golden.folder().string()) = model.string();
    succeed(command);
    succeed(golden.command(folder / "text", settings));
    for (const char* file : {"checkpoint/vocab.txt", "checkpoint/model.safetensors", "eval.safetensors"}) {
        const bool same = read_text(folder / "json" / file) == read_text(folder / "text" / file);
        CHECK_MESSAGE(same, file);
    }
}

TEST_CASE("killed twice and resumed: every file of the run that never was, bit for bit") {
    check_killed({.seed = 1, .kills = 2, .epochs = 8, .more = {}});
}

TEST_CASE("a folder with a result is refused, and stays as it is") {
    const TemporaryFolder folder;
    const GoldenRun golden("single", "main");
    const Arguments command = golden.command(folder / "out", {"--quiet", "--set", "train.epochs=1"});
    succeed(command);
    const auto before = files_below(folder / "out");
    check_refused(command, 1, {"result.json is there already", "--out"});
    CHECK(files_below(folder / "out") == before);
}

TEST_CASE("a run that was stopped goes on with the same settings only") {
    const TemporaryFolder folder;
    const GoldenRun golden("single", "main");
    const fs::path out = folder / "out";
    stop_after_first_checkpoint(golden.command(out, {"--quiet", "--set", "train.epochs=1000"}), out);
    check_refused(golden.command(out, {"--quiet", "--set", "train.epochs=1000", "--set", "train.lr=1e-4"}), 1,
                  {"train.lr is 0.001 there and 0.0001 here"});
    CHECK(!fs::exists(out / "result.json"));
}
