#include "model/config/config.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/installation.h"
#include "model/methods/sctd.h"
#include "tests/support/message_of.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

std::string parse_error(const std::string& toml) {
    return message_of([&] { RunConfig::from_toml(toml, "a.toml"); });
}

std::string set_error(const std::string& assignment) {
    return message_of([&] { RunConfig().set(assignment); });
}

}  // namespace

TEST_CASE("a file: what it names is set, the rest keeps its default") {
    const auto config = RunConfig::from_toml(
        "[train]\nlr = 1e-3\nsteps = 2_000\noptimizer = \"lamb\"\nschedule = \"cosine\"\nprecision = \"bf16\"\n"
        "[model]\nheads = 3\nhidden = 96\nlayers = 6\nactivation = \"gelu_new\"\ndropout = 0.0\n"
        "[data]\npath = \"here\"\nsequence = 64\nmasking = \"static\"\nwhole_word = true\n"
        "[eval]\nevery = 0\n[checkpoint]\nkeep_last = 3\n[log]\ntensorboard = false\n",
        "a.toml");
    config.validate();
    CHECK(config.train.lr == 1e-3);
    CHECK(config.train.steps == 2000);
    CHECK(config.train.optimizer == OptimizerKind::lamb);
    CHECK(config.train.schedule == ScheduleKind::cosine);
    CHECK(config.train.precision == Precision::bf16);
    CHECK(config.model.hidden == 96);
    CHECK(config.model.heads == 3);
    CHECK(config.model.intermediate == 384);  // follows hidden
    CHECK(config.model.gelu == kernels::Gelu::tanh);
    CHECK(config.model.hidden_dropout == 0.0f);
    CHECK(config.model.attention_dropout == 0.1f);
    CHECK(config.data.path == "here");
    CHECK(config.data.masking == Masking::fixed);
    CHECK(config.data.whole_word);
    CHECK(config.data.predictions() == 10);  // round(9.6)
    CHECK(config.eval.every == 0);
    CHECK(config.checkpoint.keep_last == 3);
    CHECK_FALSE(config.log.tensorboard);
    CHECK(config.train.beta2 == 0.999);
    CHECK(config.origins.at("train.lr") == "a.toml:2");
}

TEST_CASE("a number may be written as an integer where a float is meant, not the other way round") {
    CHECK(RunConfig::from_toml("[train]\nclip = 2", "a.toml").train.clip == 2.0);
    CHECK(parse_error("[train]\nsteps = 1e4") ==
          "a.toml:2: train.steps: expected an integer in [1, 2147483647], got 10000.0");
}

TEST_CASE("model.preset comes before the keys that it sets, wherever it stands") {
    const auto config = RunConfig::from_toml("[model]\nlayers = 6\npreset = \"bert-mini\"", "a.toml");
    CHECK(config.model.layers == 6);
    CHECK(config.model.hidden == 256);
    CHECK(config.model.intermediate == 1024);
    RunConfig other;
    other.set("model.preset=bert-tiny");
    CHECK(other.model.hidden == 128);
    CHECK(parse_error("[model]\npreset = \"bert-huge\"")
              .starts_with("a.toml:2: model.preset: no preset named bert-huge (the nearest is bert-base)"));
}

TEST_CASE("unknown names: the nearest is named") {
    CHECK(parse_error("[train]\nsteps = 3\nlrr = 1.0") ==
          "a.toml:3: there is no key train.lrr; the nearest is train.lr");
    CHECK(parse_error("[train]\nwarmup = 5").ends_with("the nearest is train.warmup_steps"));
    CHECK(parse_error("[model]\nsequence = 64").ends_with("no key model.sequence; the nearest is data.sequence"));
    CHECK(parse_error("[trian]\nlr = 1.0") == "a.toml:1: there is no table [trian]; the nearest is [train]");
    CHECK(parse_error("lr = 1.0") == "a.toml:1: there is no key lr; the nearest is train.lr");
    CHECK(parse_error("model = 3").starts_with("a.toml:1: there is no key model; the nearest is "));
    CHECK(parse_error("[model]\nnext_sentence = false").starts_with("a.toml:2: there is no key model.next_sentence"));
    for (const auto& [typed, meant] : {std::pair{"train.lerning_rate", "train.lr"},
                                       {"train.learning_rate", "train.lr"},
                                       {"train.max_steps", "train.steps"},
                                       {"train.per_device_batch_size", "train.batch"},
                                       {"train.warmup_ratio", "train.warmup_steps"},
                                       {"data.seq_length", "data.sequence"},
                                       {"train.max_seq_lenght", "data.sequence"},
                                       {"model.hidden_size", "model.hidden"},
                                       {"model.num_hidden_layers", "model.layers"},
                                       {"train.end_rl", "train.end_lr"},
                                       {"save_steps", "checkpoint.every"}}) {
        CHECK(set_error(std::string(typed) + "=3") ==
              fmt::format("--set: there is no key {}; the nearest is {}", typed, meant));
    }
    CHECK(set_error("train.bacth=3") == "--set: there is no key train.bacth; the nearest is train.batch");
    CHECK(set_error("checkpoints.every=3").ends_with("the nearest is checkpoint.every"));
}

TEST_CASE("wrong types and ranges: key, expected, got, place") {
    CHECK(parse_error("\n[train]\nlr = \"fast\"") ==
          "a.toml:3: train.lr: expected a number > 0, got the string \"fast\"");
    CHECK(parse_error("[train]\nlr = 0") == "a.toml:2: train.lr: expected a number > 0, got 0");
    CHECK(parse_error("[train]\nlr = nan") == "a.toml:2: train.lr: expected a number > 0, got nan");
    CHECK(parse_error("[train]\nlr = inf") == "a.toml:2: train.lr: expected a number > 0, got inf");
    CHECK(parse_error("[train]\nlr = -1e-4") == "a.toml:2: train.lr: expected a number > 0, got -0.0001");
    CHECK(parse_error("[train]\nbeta1 = 1.0") == "a.toml:2: train.beta1: expected a number in [0, 1), got 1.0");
    CHECK(parse_error("[train]\nbatch = 0").ends_with("expected an integer in [1, 2147483647], got 0"));
    CHECK(parse_error("[train]\nbatch = true").ends_with("got true"));
    CHECK(parse_error("[train]\nbatch = [1, 2]").ends_with("got an array"));
    CHECK(parse_error("[train.batch]\nx = 2").ends_with("got a table"));
    for (const char* key : {"dropout", "attention_dropout"})
        for (const char* p : {"0.99999999", "0.999993", "1.0"})  // nothing would be kept: Dropout::kLimit
            CHECK(parse_error(fmt::format("[model]\n{} = {}", key, p)).find("expected a number in [0, 0.9999") !=
                  std::string::npos);
    CHECK(RunConfig::from_toml("[model]\ndropout = 0.9999", "a.toml").model.hidden_dropout == 0.9999f);
    CHECK(parse_error("[data]\nwhole_word = 1") == "a.toml:2: data.whole_word: expected true or false, got 1");
    CHECK(parse_error("[data]\npath = 7") == "a.toml:2: data.path: expected a string, got 7");
    CHECK(parse_error("[data]\nmask_probability = 1.0").ends_with("expected a number in (0, 1), got 1.0"));
    CHECK(parse_error("[train]\noptimizer = \"sgd\"") ==
          "a.toml:2: train.optimizer: expected one of \"adamw\", \"lamb\", got the string \"sgd\"");
    CHECK(parse_error("[train]\nmethod = \"sparse\"") ==
          "a.toml:2: train.method: expected one of \"dense\", \"token_dropping\", \"sctd\", \"random_ltd\", "
          "\"mask_later\", got the string \"sparse\"");
    CHECK(parse_error("[model]\ninit = \"random\"") ==
          "a.toml:2: model.init: expected one of \"normal\", \"mimetic\", got the string \"random\"");
    CHECK(parse_error("[model]\ninitializer_range = 1e-50").ends_with("in single precision, got 1e-50"));
    CHECK(parse_error("[model]\nhidden = 0").ends_with("model.hidden: expected an integer in [1, 65536], got 0"));
}

TEST_CASE("syntax errors name file and line") {
    CHECK(parse_error("[train]\nlr = 1e-4\nsteps = = 3").starts_with("a.toml:3: "));
    CHECK(parse_error("[train]\nlr = 1.0\nlr = 2.0").starts_with("a.toml:3: "));
}

TEST_CASE("load: a file, a preset, or an error that says what there is") {
    CHECK(RunConfig::load("bert-mini").model.hidden == 256);
    const std::string message = message_of([] { RunConfig::load("bert-mni"); });
    CHECK(message.starts_with(
        "there is no file bert-mni, and no preset named bert-mni (the nearest is bert-mini); there are "));
    CHECK(message.find("-large; and the configurations bert-original, demo, mask-later-bert-base, ") !=
          std::string::npos);
    CHECK(message_of([] { RunConfig::load("nowhere/a.toml"); }).starts_with("there is no file nowhere/a.toml"));
}

TEST_CASE("file_of: a configuration that came with the program, by its name or its path in the source tree") {
    for (const char* what : {"demo", "demo.toml", "configs/demo", "configs/demo.toml"}) {
        CAPTURE(what);
        CHECK(fs::equivalent(RunConfig::file_of(what), shared_folder() / "configs/demo.toml"));
        CHECK(RunConfig::load(what).model.hidden == 128);
    }
    CHECK(fs::equivalent(RunConfig::file_of("configs/bert-mini.toml"), shared_folder() / "configs/bert-mini.toml"));
    for (const char* what : {"bert-mini", "bert-mini.txt", "nowhere/demo.toml", "../configs/demo.toml", "", "configs/"})
        CHECK(RunConfig::file_of(what).empty());
}

TEST_CASE("set: values as in TOML, text without quotes") {
    RunConfig config;
    config.set("train.lr=1e-3");
    config.set("train.clip=2");
    config.set("train.precision=f32");
    config.set("train.schedule=\"constant\"");
    config.set("data.path=/data/my books = all");
    config.set("data.whole_word=true");
    config.set("train.warmup_steps=7");
    CHECK(config.train.lr == 1e-3);
    CHECK(config.train.clip == 2);
    CHECK(config.train.precision == Precision::f32);
    CHECK(config.train.schedule == ScheduleKind::constant);
    CHECK(config.data.path == "/data/my books = all");
    CHECK(config.data.whole_word);
    CHECK(config.train.warmup() == 7);
    config.set("data.path=1984");  // a folder of that name, not a number
    CHECK(config.data.path == "1984");
    config.set("data.path=");
    CHECK(config.data.path.empty());

    CHECK(set_error("train.lr") == "--set: expected table.key=value, got train.lr");
    CHECK(set_error("train.lr=") == "--set: train.lr: expected a number > 0, got the string \"\"");
    CHECK(set_error("train.lr=fast") == "--set: train.lr: expected a number > 0, got the string \"fast\"");
    CHECK(set_error("train.batch=2.5").ends_with("got 2.5"));
    CHECK(set_error("train.batch=2\nx=3").ends_with("got the string \"2\nx=3\""));
    CHECK(set_error("data.whole_word=yes") == "--set: data.whole_word: expected true or false, got the string \"yes\"");
}

TEST_CASE("a failed set leaves the configuration as it was") {
    RunConfig config;
    CHECK_THROWS_AS(config.set("train.batch=0"), Error);
    CHECK(config.to_toml() == RunConfig().to_toml());
    CHECK(config.origins.empty());
}

TEST_CASE("derived values follow their sources until they are given") {
    RunConfig config;
    CHECK(config.data.predictions() == 19);
    CHECK(config.train.warmup() == 10'000);
    config.set("data.sequence=3");
    config.set("train.steps=500");
    CHECK(config.data.predictions() == 1);
    CHECK(config.train.warmup() == 50);
    config.set("data.sequence=512");
    CHECK(config.data.predictions() == 77);
    config.set("data.max_predictions=20");
    CHECK(config.data.predictions() == 20);
    CHECK(config.train.learning_rate().at(50) == 1e-4);
}

TEST_CASE("a run that goes on keeps what auto came to, unless another precision is asked for") {
    RunConfig record, automatic, same, other;
    record.set("train.precision=bf16");
    same.set("train.precision=bf16");
    other.set("train.precision=f32");
    for (RunConfig* config : {&automatic, &same, &other}) config->go_on_from(record, "runs/1");
    CHECK(automatic.train.precision == Precision::bf16);
    CHECK(automatic.kept.contains("train.precision"));
    CHECK(automatic.difference(record) == "");
    CHECK_FALSE(same.kept.contains("train.precision"));
    CHECK(same.difference(record) == "");
    CHECK(other.difference(record) == "train.precision is \"bf16\" there and \"f32\" here");
    // A record that says auto does not say what that was.
    RunConfig again;
    again.go_on_from(RunConfig(), "runs/1");
    CHECK(again.train.precision == Precision::automatic);
    CHECK_FALSE(again.kept.contains("train.precision"));
    CHECK(same.difference(RunConfig()) == "");
}

TEST_CASE("a run that goes on keeps its micro-batch, unless another is asked for") {
    RunConfig record, automatic, other;
    record.set("train.micro_batch=32");
    other.set("train.micro_batch=64");
    for (RunConfig* config : {&automatic, &other}) config->go_on_from(record, "runs/1");
    CHECK(automatic.train.micro_batch == 32);
    CHECK(automatic.kept.contains("train.micro_batch"));
    CHECK(other.difference(record) == "train.micro_batch is 32 there and 64 here");
    CHECK(other.difference(RunConfig()) == "");  // written before it was recorded
    RunConfig warm, cold;
    warm.set("train.warmup_steps=5");
    cold.set("train.warmup_steps=0");
    CHECK(warm.difference(cold) == "train.warmup_steps is 0 there and 5 here");  // 0 steps are 0 steps
}

TEST_CASE("dropping.keep: a float is a share, an integer a count, printed as given") {
    const auto keep = [](const std::string& value) {
        return RunConfig::from_toml("[dropping]\nkeep = " + value, "a.toml").method_options.of<DroppingOptions>().keep;
    };
    for (const auto& [value, is_share] : {std::pair{"0.5", true}, {"0.3", true}, {"1.0", true}, {"64", false}}) {
        RunConfig config;
        config.method_options.of<DroppingOptions>().keep = keep(value);
        CHECK(config.method_options.of<DroppingOptions>().keep.is_share == is_share);
        CHECK(config.method_options.of<DroppingOptions>().keep.text() == value);
        CHECK(config.to_toml().find(fmt::format("\nkeep = {}\n", value)) != std::string::npos);
    }
    CHECK(keep("64") == CountOrShare{64, false});
    const std::string expected =
        "dropping.keep: expected a share, a float in (0, 1], or a count, an integer in [2, "
        "65536], got ";
    for (const char* value :
         {"64.5", "64.0", "1.0000001", "0.0", "-0.5", "1", "0", "-3", "65537", "nan", "inf", "true"})
        CHECK(set_error(fmt::format("dropping.keep={}", value)).starts_with("--set: " + expected));
    CHECK(set_error("dropping.keep=half") == "--set: " + expected + "the string \"half\"");
}

TEST_CASE("numbers of ScTD and of the importance table: key and range") {
    CHECK(set_error("sctd.lambda=-0.1") == "--set: sctd.lambda: expected a number ≥ 0, got -0.1");
    CHECK(set_error("sctd.lambda=nan") == "--set: sctd.lambda: expected a number ≥ 0, got nan");
    CHECK(set_error("sctd.lambda_end=-1") == "--set: sctd.lambda_end: expected a number ≥ 0, got -1");
    CHECK(set_error("sctd.interval=0") == "--set: sctd.interval: expected an integer in [1, 2147483647], got 0");
    CHECK(set_error("sctd.interval_end=2.5") ==
          "--set: sctd.interval_end: expected an integer in [1, 2147483647], got 2.5");
    CHECK(set_error("dropping.importance_beta=1") ==
          "--set: dropping.importance_beta: expected a number in [0, 1), got 1");
    CHECK(set_error("sctd.pooled=max") ==
          "--set: sctd.pooled: expected one of \"cls\", \"mean\", got the string \"max\"");
}

TEST_CASE("a new interval or λ is constant until its end is given, whatever the order of the settings") {
    RunConfig config;
    config.set({Setting::parse("sctd.interval_end=5"), Setting::parse("sctd.interval=20"),
                Setting::parse("sctd.lambda_end=0"), Setting::parse("sctd.lambda=0.1")});
    CHECK(config.method_options.of<SctdOptions>().last_interval() == 5);
    CHECK(config.method_options.of<SctdOptions>().last_lambda() == 0);
    auto again = RunConfig::from_toml(config.to_toml(), "resolved");
    CHECK(again.to_toml() == config.to_toml());
    again.set("sctd.interval=8");
    again.set("sctd.lambda=0.2");
    CHECK(again.method_options.of<SctdOptions>().last_interval() == 8);
    CHECK(again.method_options.of<SctdOptions>().last_lambda() == 0.2);
    config.set({Setting::parse("model.intermediate=100"), Setting::parse("model.hidden=24"),
                Setting::parse("model.preset=bert-tiny")});
    CHECK(config.model.hidden == 24);
    CHECK(config.model.intermediate == 100);
    config.set({Setting::parse("train.lr=1e-3"), Setting::parse("train.lr=2e-3")});
    CHECK(config.train.lr == 2e-3);
    const std::string before = config.to_toml();
    CHECK_THROWS_AS(config.set({Setting::parse("train.lr=3e-3"), Setting::parse("train.batch=0")}), Error);
    CHECK(config.to_toml() == before);
    CHECK(message_of([&] {
              config.set({{.key = "train.batch", .value = "0", .where = "--batch"}});
          }).starts_with("--batch: train.batch: expected an integer"));
}

TEST_CASE("to_toml: every key, and reads back as the same text") {
    RunConfig config;
    for (const char* assignment :
         {"train.lr=0.1234567890123456789", "train.end_lr=5e-324", "train.weight_decay=3", "model.dropout=0.3",
          "train.seed=9223372036854775807", "train.clip=1e30", "model.activation=gelu_new", "model.init=mimetic",
          R"(data.path=C:\tmp "q" 'x' ü)", "data.masking=static", "train.method=sctd", "dropping.routing=frequency",
          "dropping.start_step=7", "sctd.pooled=mean", "sctd.kl_normalization=sequences", "sctd.full_mlm=false"})
        config.set(assignment);
    const std::string text = config.to_toml();
    const auto again = RunConfig::from_toml(text, "resolved");
    CHECK(again.to_toml() == text);
    CHECK(again.difference(config).empty());
    CHECK(again.train.lr == config.train.lr);
    CHECK(again.train.end_lr == 5e-324);
    CHECK(again.train.seed == 9223372036854775807);
    CHECK(again.model.hidden_dropout == 0.3f);
    CHECK(again.data.path == config.data.path);
    CHECK(again.train.method == "sctd");
    CHECK(again.method_options.of<DroppingOptions>().routing == "frequency");
    CHECK(again.method_options.of<SctdOptions>().pooled == Pooling::mean);
    CHECK(again.method_options.of<SctdOptions>().kl_normalization == KlNormalization::sequences);
    CHECK_FALSE(again.method_options.of<SctdOptions>().full_mlm);
    CHECK(text.find("dropout = 0.3\n") != std::string::npos);  // not 0.30000001192092896
    CHECK(text.find("clip = 1e+30\n") != std::string::npos);
    CHECK(text.find("weight_decay = 3.0\n") != std::string::npos);
    CHECK(text.find("max_predictions = 19\n") != std::string::npos);
    CHECK(text.find("interval_end = 10\n") != std::string::npos);
    CHECK(text.find("lambda_end = 0.05\n") != std::string::npos);
    CHECK(again.origins.size() == 64);  // each key once; the preset is shorthand
    config.set("data.path=a\nb\tc\x01");
    CHECK(RunConfig::from_toml(config.to_toml(), "resolved").data.path == "a\nb\tc\x01");
    config.set("data.path=caf\xe9");  // not UTF-8, as TOML must be
    CHECK(RunConfig::from_toml(config.to_toml(), "resolved").data.path == "caf\xef\xbf\xbd");
}
