// The rules between the keys of a run, and what makes two runs the same.
#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "model/config/config.h"
#include "tests/support/message_of.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

std::string rule_error(std::initializer_list<const char*> assignments) {
    RunConfig config;
    for (const char* assignment : assignments) config.set(assignment);
    return message_of([&] { config.validate(); });
}

}  // namespace

TEST_CASE("rules between keys") {
    CHECK(rule_error({}).empty());
    CHECK(rule_error({"data.sequence=600"}) ==
          "data.sequence (--set) is 600: it must be at most model.max_positions = 512");
    CHECK(rule_error({"data.sequence=10", "data.max_predictions=9"}) ==
          "data.max_predictions (--set) is 9: it must be at most data.sequence (--set) − 2 = 8, the positions that may "
          "be masked");
    CHECK(rule_error({"data.sequence=10", "data.max_predictions=8"}).empty());
    CHECK(rule_error({"data.sequence=10", "data.max_predictions=8", "data.pairs=next_sentence"}) ==
          "data.max_predictions (--set) is 8: it must be at most data.sequence (--set) − 3 = 7, the positions that may "
          "be masked");
    CHECK(rule_error({"data.sequence=4", "data.pairs=sentence_order"}).starts_with("data.sequence (--set) is 4: with"));
    CHECK(rule_error({"train.method=mask_later", "data.pairs=next_sentence"})
              .starts_with("train.method (--set) is \"mask_later\", for which every sequence has as many"));
    CHECK(rule_error({"train.batch=100", "train.micro_batch=64"}) ==
          "train.batch (--set) is 100: it must be a multiple of train.micro_batch (--set) = 64");
    CHECK(rule_error({"train.micro_batch=512"}).starts_with("train.batch is 256: it must be a multiple of"));
    CHECK(rule_error({"train.steps=10", "train.warmup_steps=11"}).starts_with("train.warmup_steps (--set) is 11"));
    CHECK(rule_error({"train.end_lr=1"}) == "train.end_lr (--set) is 1: it must be at most train.lr = 0.0001");
    CHECK(rule_error({"model.hidden=100"}) == "model: hidden (100) must be a multiple of heads (12)");

    const auto config = RunConfig::from_toml("[data]\nsequence = 1024", "a.toml");
    CHECK(message_of([&] { config.validate(); }).starts_with("data.sequence (a.toml:2) is 1024"));
}

TEST_CASE("rules of the methods that drop tokens; a dense run does not mind") {
    const auto error = [](const char* method, const std::vector<const char*>& assignments) {
        RunConfig config;
        config.set(fmt::format("train.method={}", method));
        for (const char* assignment : assignments) config.set(assignment);
        return message_of([&] { config.validate(); });
    };
    for (const char* method : {"token_dropping", "sctd"}) {
        const auto refused = [&](const std::vector<const char*>& assignments, const std::string& expected) {
            CHECK(error(method, assignments) == expected);
            CHECK(error("dense", assignments).empty());
        };
        CHECK(error(method, {}).empty());
        const std::string wanted =
            fmt::format(": train.method (--set) = \"{}\" wants an even number of layers, at least 4", method);
        refused({"model.layers=2"}, "model.layers (--set) is 2" + wanted);
        refused({"model.layers=5"}, "model.layers (--set) is 5" + wanted);
        refused({"model.preset=bert-tiny"}, "model.layers is 2" + wanted);
        CHECK(error(method, {"model.layers=4"}).empty());
        refused({"dropping.keep=129"},
                "dropping.keep (--set) is 129, which is 129 of the 128 tokens of data.sequence: it must be 2 … 128 of "
                "them");
        refused({"dropping.keep=0.015"},
                "dropping.keep (--set) is 0.015, which is 1 of the 128 tokens of data.sequence: it must be 2 … 128 of "
                "them");
        refused({"data.sequence=3"},
                "dropping.keep is 0.5, which is 1 of the 3 tokens of data.sequence (--set): it must be 2 … 3 of them");
        for (const char* fits : {"dropping.keep=2", "dropping.keep=128", "dropping.keep=1.0", "dropping.keep=0.016"})
            CHECK(error(method, {fits}).empty());
        refused({"train.steps=9", "dropping.start_step=10"},
                "dropping.start_step (--set) is 10: it must be at most train.steps (--set) = 9");
        refused(
            {"dropping.start_step=10", "dropping.end_step=10"},
            "dropping.end_step (--set) is 10: it must be more than dropping.start_step (--set) = 10, or 0 for none");
        CHECK(error(method, {"dropping.start_step=10", "dropping.end_step=11"}).empty());
    }
}

TEST_CASE("difference: what may change on resume, and what may not") {
    const RunConfig recorded;
    for (const char* free :
         {"train.steps=2000000", "eval.every=5", "eval.sequences=8", "checkpoint.every=7", "log.every=1",
          "checkpoint.keep_last=9", "checkpoint.keep_every=3", "log.tensorboard=false", "log.report=true"}) {
        RunConfig current;
        current.set(free);
        CHECK_MESSAGE(current.difference(recorded).empty(), free);
    }
    const std::pair<const char*, const char*> bound[] = {
        {"train.lr=2e-4", "train.lr is 0.0001 there and 0.0002 here"},
        {"train.seed=1", "train.seed is 0 there and 1 here"},
        {"train.optimizer=lamb", "train.optimizer is \"adamw\" there and \"lamb\" here"},
        {"train.warmup_steps=8", "train.warmup_steps is 10000 there and 8 here"},
        {"model.attention_dropout=0.2", "model.attention_dropout is 0.1 there and 0.2 here"},
        {"model.init=mimetic", "model.init is \"normal\" there and \"mimetic\" here"},
        {"data.sequence=64", "data.sequence is 128 there and 64 here"},
        {"data.whole_word=true", "data.whole_word is false there and true here"},
    };
    for (const auto& [assignment, expected] : bound) {
        RunConfig current;
        current.set(assignment);
        CHECK(current.difference(recorded) == expected);
    }
}

TEST_CASE("difference: keys that the method does not read don't count") {
    const auto difference = [](const char* method, const char* setting) {
        RunConfig current, recorded;
        current.set(fmt::format("train.method={}", method));
        recorded.set(fmt::format("train.method={}", method));
        current.set(setting);
        return current.difference(recorded);
    };
    for (const char* setting : {"dropping.keep=0.25", "dropping.keep=64", "dropping.routing=random",
                                "dropping.importance_beta=0.95", "dropping.start_step=1", "dropping.end_step=2"}) {
        CHECK_MESSAGE(difference("dense", setting).empty(), setting);
        CHECK_FALSE_MESSAGE(difference("token_dropping", setting).empty(), setting);
        CHECK_FALSE_MESSAGE(difference("sctd", setting).empty(), setting);
    }
    for (const char* setting :
         {"sctd.interval=5", "sctd.interval_end=5", "sctd.lambda=0.1", "sctd.lambda_end=0", "sctd.pooled=mean",
          "sctd.kl_normalization=sequences", "sctd.full_mlm=false", "sctd.share_trunk=false"}) {
        CHECK_MESSAGE(difference("dense", setting).empty(), setting);
        CHECK_MESSAGE(difference("token_dropping", setting).empty(), setting);
        CHECK_FALSE_MESSAGE(difference("sctd", setting).empty(), setting);
    }
    CHECK(difference("sctd", "dropping.keep=64") == "dropping.keep is 0.5 there and 64 here");
    CHECK(difference("sctd", "train.method=dense") == "train.method is \"sctd\" there and \"dense\" here");
}

TEST_CASE("go_on_from: the warm-up that followed from the first number of steps stays, one that is given does not") {
    RunConfig recorded;
    recorded.set("train.steps=500");
    const auto record = RunConfig::from_toml(recorded.to_toml(), "record");
    RunConfig current;
    current.set("train.steps=5000");
    current.set("data.sequence=64");
    CHECK(current.train.warmup() == 500);
    current.go_on_from(record, "runs/mine");
    CHECK(current.train.warmup() == 50);
    CHECK(current.data.predictions() == 10);  // data.sequence defines the run: what follows from it is not taken over
    current.set("data.sequence=128");
    CHECK(current.difference(record).empty());
    current.set("train.steps=40");
    CHECK(message_of([&] { current.validate(); }) ==
          "train.warmup_steps (runs/mine) is 50: it must be at most train.steps (--set) = 40");

    RunConfig given;
    given.set("train.warmup_steps=7");
    given.go_on_from(record, "runs/mine");
    CHECK(given.train.warmup() == 7);
    CHECK(given.difference(record) == "train.warmup_steps is 50 there and 7 here");
}

TEST_CASE("difference: a data folder may be moved; what it holds is compared by its fingerprint") {
    RunConfig current, recorded;
    current.set("data.path=books");
    recorded.set("data.path=/elsewhere/books/");
    CHECK(current.difference(recorded).empty());
}
