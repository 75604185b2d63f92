// Pretraining on sentence pairs, by the real command.
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/safetensors.h"
#include "tests/support/pretrain_fixture.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

/// Documents of two sentences, one a line, each with five words of its kind: what comes first can be told.
std::string ordered_text(int documents) {
    static constexpr const char* kFirst[] = {"alpha", "beta", "gamma", "delta"};
    static constexpr const char* kSecond[] = {"rho", "sigma", "tau", "omega"};
    PhiloxStream random(3, 0);
    std::string text;
    for (int document = 0; document < documents; ++document) {
        for (const auto& words : {kFirst, kSecond})
            for (int i = 0; i < 5; ++i) text += fmt::format("{}{}", words[random.below(4)], i < 4 ? " " : "\n");
        text += "\n";
    }
    return text;
}

struct Pairs {
    TemporaryFolder folder;
    fs::path data = folder / "data", out = folder / "run";

    Pairs() {
        write_text(folder / "text.txt", ordered_text(600));
        succeed({"prepare", "--quiet", "--text", (folder / "text.txt").string(), "--out", data.string(),
                 "--train-vocab", "60", "--validation-fraction", "0.1", "--sentences", "line"});
    }

    Arguments command(int64_t steps, const std::string& pairs, const Arguments& settings = {}) const {
        Arguments all = pretrain_arguments(data, out, steps) + Arguments{"--quiet", "--precision", "f32"};
        for (const std::string& setting : Arguments{"data.pairs=" + pairs, "data.sequence=20"} + settings)
            all = all + Arguments{"--set", setting};
        return all;
    }
    fs::path checkpoint(int64_t step) const { return out / "checkpoints" / fmt::format("step-{:08}", step); }
};

nlohmann::json last_evaluation(const fs::path& run) {
    nlohmann::json last;
    for (const auto& line : metrics_lines(run))
        if (line.contains("eval_loss")) last = line;
    return last;
}

}  // namespace

TEST_CASE("a run with pairs reports them, leaves a BertForPreTraining, and goes on from a checkpoint bit for bit") {
    const Pairs p;
    const Arguments command =
        p.command(12, "next_sentence", {"log.every=3", "eval.every=6", "checkpoint.every=6", "checkpoint.keep_last=9"});
    succeed(command);
    const std::string metrics = metrics_of(p.out);
    for (const auto& line : metrics_lines(p.out)) {
        const bool evaluation = line.contains("eval_loss");
        const double loss = line.at(evaluation ? "eval_nsp_loss" : "nsp_loss");
        const double accuracy = line.at(evaluation ? "eval_nsp_accuracy" : "nsp_accuracy");
        CHECK((loss > 0 && loss < 3));
        CHECK((accuracy >= 0 && accuracy <= 1));
    }
    const std::string weights = read_text(p.checkpoint(12) / "model.safetensors"),
                      trainer = read_text(p.checkpoint(12) / "trainer.safetensors");
    CHECK(contains(read_text(p.checkpoint(12) / "config.json"), "BertForPreTraining"));
    const SafetensorsFile file(p.checkpoint(12) / "model.safetensors");
    for (const char* name : {"bert.pooler.dense.weight", "cls.seq_relationship.weight", "cls.predictions.bias"})
        CHECK_MESSAGE(file.has(name), name);

    fs::remove_all(p.checkpoint(12));
    succeed(command);
    CHECK(metrics_of(p.out) == metrics);
    const bool same = read_text(p.checkpoint(12) / "model.safetensors") == weights &&
                      read_text(p.checkpoint(12) / "trainer.safetensors") == trainer;
    CHECK(same);
}

TEST_CASE("what comes next, and what comes first, is learned where it can be known") {
    const Pairs p;
    // Half of the documents give one true pair, the others two random ones, of which one in four looks true: always
    // "random" is right for 2 of 3 pairs, the best answer for 5 of 6. Which of two comes first is certain
    // but for a document with a target so short that it is cut.
    for (const auto& [pairs, least] : {std::pair{"next_sentence", 0.75}, {"sentence_order", 0.9}}) {
        succeed(p.command(100, pairs,
                          {"train.lr=3e-3", "train.batch=16", "train.micro_batch=16", "model.dropout=0",
                           "model.attention_dropout=0", "eval.every=100", "model.initializer_range=0.1"}));
        const nlohmann::json evaluation = last_evaluation(p.out);
        CHECK(evaluation.at("eval_nsp_accuracy") > least);
        fs::remove_all(p.out);
    }
}

TEST_CASE("methods drop tokens of pairs too; mask_later, which wants the same number of [MASK], refuses") {
    const Pairs p;
    for (const char* method : {"token_dropping", "sctd", "random_ltd"}) {
        CAPTURE(method);
        succeed(p.command(6, "sentence_order",
                          {fmt::format("train.method={}", method), "model.layers=4", "log.every=1", "eval.every=3",
                           "sctd.interval=2"}));
        for (const auto& line : metrics_lines(p.out))
            if (!line.contains("eval_loss")) CHECK(std::isfinite(line.at("nsp_loss").get<double>()));
        fs::remove_all(p.out);
    }
    check_refused(p.command(6, "next_sentence", {"train.method=mask_later", "model.layers=4"}), 1,
                  {"train.method (--set) is \"mask_later\"", "data.pairs (--set)"});
    CHECK(!fs::exists(p.out));
}

TEST_CASE("data without sentences: one line that says how to prepare them") {
    const Place place;
    check_refused(place.command(2, {"--set", "data.pairs=next_sentence"}), 1,
                  {"the train split does not say where sentences begin", "dropforge prepare --sentences line"});
    CHECK(!fs::exists(place.out));
}

TEST_CASE("evaluate --pairs: the same whatever the batch; a model without the head is refused") {
    const Pairs p;
    succeed(p.command(2, "next_sentence"));
    const auto evaluated = [&](const char* batch) {
        return nlohmann::json::parse(
            succeed({"evaluate", "--model", p.checkpoint(2).string(), "--data", p.data.string(), "--sequence", "20",
                     "--pairs", "next_sentence", "--batch", batch, "--json"})
                .out);
    };
    const nlohmann::json seven = evaluated("7"), one = evaluated("1");
    CHECK(seven.at("sequences") == one.at("sequences"));
    CHECK(seven.at("nsp_accuracy") == one.at("nsp_accuracy"));
    // To the bit: a row of a GEMM is summed in an order that k decides alone, and a double holds the sum of these f32
    // losses without rounding.
    CHECK(seven.at("nsp_loss") == one.at("nsp_loss"));
    fs::remove_all(p.out);
    succeed(p.command(2, "none"));
    check_refused(
        {"evaluate", "--model", p.checkpoint(2).string(), "--data", p.data.string(), "--pairs", "next_sentence"}, 1,
        {"the model has no NSP head, which --pairs measures"});
}
