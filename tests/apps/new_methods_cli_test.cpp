// The commands with random_ltd and mask_later: stages of a run, resumes, what evaluate and fill make of their
// checkpoints, and what is refused.
#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "model/run/folder.h"
#include "tests/support/pretrain_fixture.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

Arguments with_method(const Place& place, const fs::path& out, int64_t steps, const char* method,
                      std::initializer_list<const char*> settings) {
    Arguments command = pretrain_arguments(place.data, out, steps) + Arguments{"--method", method};
    for (const char* setting : {"model.layers=4", "log.every=1", "eval.every=6"})
        command = command + Arguments{"--set", setting};
    for (const char* setting : settings) command = command + Arguments{"--set", setting};
    return command;
}

fs::path checkpoint_of(const fs::path& run) { return list_checkpoints(run).back().path; }

void check_same_runs(const fs::path& a, const fs::path& b) {
    CHECK(metrics_of(a) == metrics_of(b));
    const bool same =
        read_text(checkpoint_of(a) / "model.safetensors") == read_text(checkpoint_of(b) / "model.safetensors");
    CHECK(same);
}

}  // namespace

TEST_CASE("random_ltd: each step works on as many tokens as its stage says; a resume within one has the same bits") {
    const Place place;
    // Of 32 tokens: 8, then 12, 16 … 28 over eight steps, then all.
    const std::initializer_list<const char*> settings = {"random_ltd.start=8", "random_ltd.stage=4",
                                                         "random_ltd.steps=8"};
    succeed(with_method(place, place.out, 12, "random_ltd", settings));
    std::vector<double> kept;
    for (const auto& line : metrics_lines(place.out))
        if (line.contains("loss")) kept.push_back(32 * line["kept_fraction"].get<double>());
    CHECK(kept == std::vector<double>{8, 8, 12, 16, 20, 20, 24, 28, 32, 32, 32, 32});
    // The schedule ends with the run, so that of a resume is constant.
    const fs::path full_batch = place.folder / "whole", parts = place.folder / "parts";
    const auto constant = [&](const fs::path& out, int64_t steps) {
        succeed(with_method(place, out, steps, "random_ltd",
                            {"random_ltd.start=8", "random_ltd.stage=4", "random_ltd.steps=8",
                             "train.schedule=constant", "eval.every=0"}));
    };
    constant(full_batch, 12);
    for (const int64_t steps : {3, 7, 12}) constant(parts, steps);
    check_same_runs(full_batch, parts);
}

TEST_CASE("mask_later: [MASK] is left out of the first layers; evaluate leaves it out too, fill says what that means") {
    const Place place;
    succeed(with_method(place, place.out, 12, "mask_later",
                        {"mask_later.layer=2", "data.mask_token_share=0.8", "train.precision=f32"}));
    double last = 0;
    for (const auto& line : metrics_lines(place.out))  // 5 masked positions of 32, 4 of them [MASK]
        if (line.contains("eval_loss"))
            last = line["eval_loss"];
        else
            CHECK(line["kept_fraction"] == (32 - 4) / 32.0);
    const std::string checkpoint = checkpoint_of(place.out).string();
    const auto evaluated =
        nlohmann::json::parse(succeed({"evaluate", "--model", checkpoint, "--data", place.data.string(), "--sequence",
                                       "32", "--batch", "2", "--json"})
                                  .out);
    CHECK(evaluated["mlm_loss"] == last);
    const CommandResult filled = succeed({"fill", "--model", checkpoint, "[MASK] bane"});
    CHECK(contains(filled.error, "layers 0 … 1 have never seen [MASK]"));
    const fs::path few = place.folder / "few", dense = place.folder / "dense";
    // A sequence of three tokens would have none at that share: the note is about the layers, not about this text.
    succeed(with_method(place, few, 2, "mask_later", {"mask_later.layer=2", "data.mask_token_share=0.4"}));
    CHECK(contains(succeed({"fill", "--model", checkpoint_of(few).string(), "[MASK] bane"}).error, "never seen"));
    succeed(with_method(place, dense, 2, "dense", {}));
    CHECK(!contains(succeed({"fill", "--model", checkpoint_of(dense).string(), "[MASK] bane"}).error, "never seen"));
}

TEST_CASE("mask_later from layer 0 is dense training with masks of fixed counts") {
    const Place place;
    const fs::path first = place.folder / "first";
    succeed(with_method(place, first, 4, "mask_later", {"mask_later.layer=0"}));
    for (const auto& line : metrics_lines(first))
        if (line.contains("loss")) CHECK(line["kept_fraction"] == 1);
}

TEST_CASE("what the methods cannot work on is refused by key, and nothing is left") {
    const Place place;
    check_refused(with_method(place, place.out, 2, "random_ltd", {"model.layers=2"}), 1,
                  {"model.layers", "train.method", "wants at least 3"});
    check_refused(with_method(place, place.out, 2, "random_ltd", {"random_ltd.start=40"}), 1,
                  {"random_ltd.start", "is 40", "it must be 1 … 32 of them"});
    check_refused(with_method(place, place.out, 2, "mask_later", {"mask_later.layer=4"}), 1,
                  {"mask_later.layer", "it must be 0 … 3, or -4 … -1"});
    check_refused(with_method(place, place.out, 2, "mask_later", {"data.whole_word=true"}), 1,
                  {"data.whole_word", "the same number of [MASK] in every sequence"});
    check_refused(with_method(place, place.out, 2, "dense", {"data.mask_token_share=1.5"}), 1,
                  {"data.mask_token_share", "in [0, 1]", "got 1.5"});
    CHECK(!fs::exists(place.out));
}
