// The keys of a fine-tuning run: what is read, printed and refused.
#include <doctest/doctest.h>

#include <sstream>

#include "finetune/config/config.h"
#include "tests/support/message_of.h"

using namespace dropforge;
using dropforge::test::message_of;

namespace {

FinetuneConfig with(const std::vector<std::string>& assignments) {
    std::vector<Setting> settings;
    for (const std::string& assignment : assignments) settings.push_back(Setting::parse(assignment));
    FinetuneConfig config;
    config.set(settings);
    return config;
}

std::vector<std::string> lines_of(const std::string& text) {
    std::istringstream stream(text);
    std::vector<std::string> lines;
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
}

std::string set_error(const std::string& assignment) {
    return message_of([&] { with({assignment}); });
}

}  // namespace

TEST_CASE("the defaults are the recipe") {
    CHECK(FinetuneConfig().to_toml() ==
          "[data]\nmax_length = 0\ndoc_stride = 128\nmax_question = 64\nmax_answer = 30\nshuffle = true\nbucket = 50\n"
          "bad_lines = \"error\"\n\n"
          "[train]\nepochs = 3\nsteps = 0\nbatch = 32\nmicro_batch = 0\nlr = 2e-05\nwarmup = 0.1\n"
          "schedule = \"linear\"\nbeta1 = 0.9\nbeta2 = 0.999\nepsilon = 1e-08\nweight_decay = 0.01\nclip = 1.0\n"
          "class_weights = []\nseed = 1\nprecision = \"auto\"\nfrozen = 0\nlayer_decay = 1.0\n\n"
          "[eval]\nbatch = 32\nkeep = \"best\"\nnull_threshold = 0.0\n\n"
          "[log]\nevery = 1\nexamples = false\n");
}

TEST_CASE("every key is set by a bare word, printed, and read back") {
    const FinetuneConfig config = with({"model.dropout=0",
                                        "model.attention_dropout=0.2",
                                        "model.classifier_dropout=0.3",
                                        "data.max_length=20",
                                        "data.doc_stride=10",
                                        "data.max_question=9",
                                        "data.max_answer=8",
                                        "data.shuffle=false",
                                        "data.bucket=0",
                                        "data.bad_lines=skip",
                                        "train.epochs=4",
                                        "train.steps=30",
                                        "train.batch=8",
                                        "train.micro_batch=3",
                                        "train.lr=1e-3",
                                        "train.warmup=0.25",
                                        "train.schedule=constant",
                                        "train.beta1=0.8",
                                        "train.beta2=0.99",
                                        "train.epsilon=1e-6",
                                        "train.weight_decay=0",
                                        "train.clip=0",
                                        "train.class_weights=0.5,1,2",
                                        "train.seed=7",
                                        "train.precision=bf16",
                                        "train.frozen=2",
                                        "train.layer_decay=0.9",
                                        "eval.batch=5",
                                        "eval.keep=last",
                                        "eval.null_threshold=-1.5",
                                        "log.every=10",
                                        "log.examples=true"});
    CHECK(config.model.dropout == 0.0f);
    CHECK(config.data.bad_lines == BadLines::skip);
    CHECK(config.train.schedule == Decay::constant);
    CHECK(config.train.class_weights == std::vector<double>{0.5, 1, 2});
    CHECK(config.eval.keep == KeptEpoch::last);
    const std::string text = config.to_toml();
    CHECK(text.starts_with("[model]\ndropout = 0.0\nattention_dropout = 0.2\nclassifier_dropout = 0.3\n"));
    CHECK(text.find("class_weights = [0.5, 1.0, 2.0]\n") != std::string::npos);
    const FinetuneConfig again = FinetuneConfig::from_toml(text, "a.toml");
    CHECK(again.to_toml() == text);
    CHECK(again.origins.at("model.dropout") == "a.toml:2");
    CHECK(again.difference(config).empty());
    for (const std::string& line : lines_of(FinetuneConfig().to_toml()))  // no key keeps its default
        if (line.find(" = ") != std::string::npos) CHECK(text.find(line + "\n") == std::string::npos);
}

TEST_CASE("of the same key given twice the last counts; a wrong value changes nothing") {
    CHECK(with({"train.lr=1", "train.lr=2"}).train.lr == 2);
    CHECK(with({"train.class_weights=1,2", "train.class_weights="}).train.class_weights.empty());
    CHECK(with({"train.class_weights=3"}).train.class_weights == std::vector<double>{3});
    CHECK(with({"train.class_weights=[1, 2]"}).train.class_weights == std::vector<double>{1, 2});
    FinetuneConfig config;
    CHECK_THROWS(config.set({Setting::parse("train.lr=1"), Setting::parse("train.batch=0")}));
    CHECK(config.train.lr == 2e-5);
}

TEST_CASE("errors name what was expected, and the nearest key") {
    CHECK(set_error("train.nonsense=1") == "--set: there is no key train.nonsense; the nearest is train.steps");
    CHECK(set_error("train.num_train_epochs=1") ==
          "--set: there is no key train.num_train_epochs; the nearest is train.epochs");
    CHECK(set_error("train.warmup_ratio=1") ==
          "--set: there is no key train.warmup_ratio; the nearest is train.warmup");
    CHECK(set_error("max_seq_length=1") == "--set: there is no key max_seq_length; the nearest is data.max_length");
    CHECK(set_error("train.class_weights=1,0") == "--set: train.class_weights: expected numbers > 0, got 0");
    CHECK(set_error("train.class_weights=1,a") ==
          "--set: train.class_weights: expected numbers > 0, got the string \"1,a\"");
    CHECK(set_error("train.layer_decay=0") == "--set: train.layer_decay: expected a number in (0, 1], got 0");
    CHECK(set_error("model.dropout=1") == "--set: model.dropout: expected a number in [0, 0.9999923706054688), got 1");
    CHECK(set_error("eval.null_threshold=nan") ==
          "--set: eval.null_threshold: expected a number that is finite, got nan");
    CHECK(set_error("train.schedule=cosine") ==
          "--set: train.schedule: expected one of \"linear\", \"constant\", got the string \"cosine\"");
    CHECK(message_of([] { FinetuneConfig::from_toml("[trian]\nlr = 1", "a.toml"); }) ==
          "a.toml:1: there is no table [trian]; the nearest is [train]");
}

TEST_CASE("what must fit the model and the task") {
    const auto error = [](const std::string& assignment, const std::vector<std::string>& labels) {
        return message_of([&] { with({assignment}).validate(2, labels); });
    };
    CHECK(error("train.frozen=3", {"0", "1"}) ==
          "train.frozen (--set) is 3: it must be at most 2, the layers of the model");
    CHECK(error("train.class_weights=1,2,3", {"0", "1"}) ==
          "train.class_weights (--set) has 3 numbers, expected one for each of the 2 labels 0, 1");
    CHECK(error("train.class_weights=1", {}) == "train.class_weights (--set): the task has no labels");
    with({"train.frozen=2", "train.class_weights=1,2"}).validate(2, {"0", "1"});
}

TEST_CASE("what makes another run") {
    CHECK(FinetuneConfig().difference(with({"log.every=5"})).empty());
    CHECK(with({"train.lr=0.5"}).difference(FinetuneConfig()) == "train.lr is 2e-05 there and 0.5 here");
    CHECK(with({"model.dropout=0"}).difference(FinetuneConfig()) == "model.dropout is not set there and 0.0 here");
    CHECK(with({"train.micro_batch=4"}).difference(FinetuneConfig()).empty());  // a record before it was chosen
}

TEST_CASE("the rate: the warm-up is a rounded share of the steps") {
    FinetuneConfig config;
    config.train.lr = 1;
    CHECK(config.train.learning_rate(15).warmup_steps == 2);  // ⌊1.5 + ½⌋
    CHECK(config.train.learning_rate(14).warmup_steps == 1);
    const Schedule linear = config.train.learning_rate(20);
    CHECK(linear.at(1) == 0.5);
    CHECK(linear.at(2) == 1);
    CHECK(linear.at(3) == 1);
    CHECK(linear.at(20) == doctest::Approx(1.0 / 18).epsilon(1e-15));
    config.train.schedule = Decay::constant;
    CHECK(config.train.learning_rate(20).at(20) == 1);
}
