#include "model/run_config.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"

using namespace dropforge;

namespace {

const fs::path kConfigs = fs::path(DROPFORGE_TEST_DATA).parent_path().parent_path() / "configs";

/// The message of the Error that `action` throws; "" if none.
template <typename Action>
std::string message_of(const Action& action) {
    try {
        action();
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

std::string parse_error(const std::string& toml) {
    return message_of([&] { RunConfig::from_toml(toml, "a.toml"); });
}

std::string set_error(const std::string& assignment) {
    return message_of([&] { RunConfig().set(assignment); });
}

std::string rule_error(std::initializer_list<const char*> assignments) {
    RunConfig config;
    for (const char* assignment : assignments) config.set(assignment);
    return message_of([&] { config.validate(); });
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
              .starts_with("a.toml:2: model.preset: no preset named bert-huge"));
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
    CHECK(parse_error("[data]\nwhole_word = 1") == "a.toml:2: data.whole_word: expected true or false, got 1");
    CHECK(parse_error("[data]\npath = 7") == "a.toml:2: data.path: expected a string, got 7");
    CHECK(parse_error("[data]\nmask_probability = 1.0").ends_with("expected a number in (0, 1), got 1.0"));
    CHECK(parse_error("[train]\noptimizer = \"sgd\"") ==
          "a.toml:2: train.optimizer: expected one of \"adamw\", \"lamb\", got the string \"sgd\"");
    CHECK(parse_error("[train]\nmethod = \"sparse\"") ==
          "a.toml:2: train.method: expected one of \"dense\", \"token_dropping\", \"sctd\", got the string \"sparse\"");
    CHECK(parse_error("[model]\ndropout = 0.99999999999").ends_with("in single precision, got 0.99999999999"));
    CHECK(parse_error("[model]\nhidden = 0").ends_with("model.hidden: expected an integer in [1, 65536], got 0"));
}

TEST_CASE("syntax errors name file and line") {
    CHECK(parse_error("[train]\nlr = 1e-4\nsteps = = 3").starts_with("a.toml:3: "));
    CHECK(parse_error("[train]\nlr = 1.0\nlr = 2.0").starts_with("a.toml:3: "));
}

TEST_CASE("load: a file, a preset, or an error that says what there is") {
    CHECK(RunConfig::load("bert-mini").model.hidden == 256);
    const std::string message = message_of([] { RunConfig::load("bert-mni"); });
    CHECK(message.starts_with("there is no file bert-mni, and no preset named bert-mni; there are bert-tiny"));
    CHECK(message_of([] { RunConfig::load("nowhere/a.toml"); }).starts_with("there is no file nowhere/a.toml"));
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
    CHECK(config.train.sequences_per_pass() == 256);
    config.set("data.sequence=3");
    config.set("train.steps=500");
    CHECK(config.data.predictions() == 1);
    CHECK(config.train.warmup() == 50);
    config.set("data.sequence=512");
    CHECK(config.data.predictions() == 77);
    config.set("data.max_predictions=20");
    CHECK(config.data.predictions() == 20);
    config.set("train.micro_batch=64");
    CHECK(config.train.sequences_per_pass() == 64);
    CHECK(config.train.learning_rate().at(50) == 1e-4);
}

TEST_CASE("rules between keys") {
    CHECK(rule_error({}).empty());
    CHECK(rule_error({"data.sequence=600"}) ==
          "data.sequence (--set) is 600: it must be at most model.max_positions = 512");
    CHECK(rule_error({"data.sequence=10", "data.max_predictions=9"}) ==
          "data.max_predictions (--set) is 9: it must be at most data.sequence (--set) − 2 = 8, the positions that may "
          "be masked");
    CHECK(rule_error({"data.sequence=10", "data.max_predictions=8"}).empty());
    CHECK(rule_error({"train.batch=100", "train.micro_batch=64"}) ==
          "train.batch (--set) is 100: it must be a multiple of train.micro_batch (--set) = 64");
    CHECK(rule_error({"train.micro_batch=512"}).starts_with("train.batch is 256: it must be a multiple of"));
    CHECK(rule_error({"train.steps=10", "train.warmup_steps=11"}).starts_with("train.warmup_steps (--set) is 11"));
    CHECK(rule_error({"train.end_lr=1"}) == "train.end_lr (--set) is 1: it must be at most train.lr = 0.0001");
    CHECK(rule_error({"model.hidden=100"}) == "model: hidden (100) must be a multiple of heads (12)");

    const auto config = RunConfig::from_toml("[data]\nsequence = 1024", "a.toml");
    CHECK(message_of([&] { config.validate(); }).starts_with("data.sequence (a.toml:2) is 1024"));
}

TEST_CASE("dropping.keep: a float is a share, an integer a count, printed as given") {
    const auto keep = [](const std::string& value) {
        return RunConfig::from_toml("[dropping]\nkeep = " + value, "a.toml").dropping.keep;
    };
    for (const auto& [value, is_share] : {std::pair{"0.5", true}, {"0.3", true}, {"1.0", true}, {"64", false}}) {
        RunConfig config;
        config.dropping.keep = keep(value);
        CHECK(config.dropping.keep.is_share == is_share);
        CHECK(config.dropping.keep.text() == value);
        CHECK(config.to_toml().find(fmt::format("\nkeep = {}\n", value)) != std::string::npos);
    }
    CHECK(keep("64") == Keep{64, false});
    const std::string expected =
        "dropping.keep: expected a share of the sequence, a float in (0, 1], or a count of tokens, an integer in [2, "
        "65536], got ";
    for (const char* value :
         {"64.5", "64.0", "1.0000001", "0.0", "-0.5", "1", "0", "-3", "65537", "nan", "inf", "true"})
        CHECK(set_error(fmt::format("dropping.keep={}", value)).starts_with("--set: " + expected));
    CHECK(set_error("dropping.keep=half") == "--set: " + expected + "the string \"half\"");
}

TEST_CASE("rules of the methods that drop tokens; a dense run does not mind") {
    const auto error = [](const char* method, std::vector<const char*> assignments) {
        RunConfig config;
        config.set(fmt::format("train.method={}", method));
        for (const char* assignment : assignments) config.set(assignment);
        return message_of([&] { config.validate(); });
    };
    for (const char* method : {"token_dropping", "sctd"}) {
        const auto refused = [&](std::vector<const char*> assignments, const std::string& expected) {
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
    CHECK(config.sctd.last_interval() == 5);
    CHECK(config.sctd.last_lambda() == 0);
    auto again = RunConfig::from_toml(config.to_toml(), "resolved");
    CHECK(again.to_toml() == config.to_toml());
    again.set("sctd.interval=8");
    again.set("sctd.lambda=0.2");
    CHECK(again.sctd.last_interval() == 8);
    CHECK(again.sctd.last_lambda() == 0.2);
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
          "train.seed=9223372036854775807", "train.clip=1e30", "model.activation=gelu_new",
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
    CHECK(again.train.method == Method::sctd);
    CHECK(again.dropping.routing == RoutingKind::frequency);
    CHECK(again.sctd.pooled == Pooling::mean);
    CHECK(again.sctd.kl_normalization == KlNormalization::sequences);
    CHECK_FALSE(again.sctd.full_mlm);
    CHECK(text.find("dropout = 0.3\n") != std::string::npos);  // not 0.30000001192092896
    CHECK(text.find("clip = 1e+30\n") != std::string::npos);
    CHECK(text.find("weight_decay = 3.0\n") != std::string::npos);
    CHECK(text.find("max_predictions = 19\n") != std::string::npos);
    CHECK(text.find("interval_end = 10\n") != std::string::npos);
    CHECK(text.find("lambda_end = 0.05\n") != std::string::npos);
    CHECK(again.origins.size() == 52);  // each key once; the preset is shorthand
    config.set("data.path=a\nb\tc\x01");
    CHECK(RunConfig::from_toml(config.to_toml(), "resolved").data.path == "a\nb\tc\x01");
}

TEST_CASE("difference: what may change on resume, and what may not") {
    const RunConfig there;
    for (const char* free :
         {"train.steps=2000000", "eval.every=5", "eval.sequences=8", "checkpoint.every=7", "log.every=1",
          "checkpoint.keep_last=9", "checkpoint.keep_every=3", "log.tensorboard=false"}) {
        RunConfig here;
        here.set(free);
        CHECK_MESSAGE(here.difference(there).empty(), free);
    }
    const std::pair<const char*, const char*> bound[] = {
        {"train.lr=2e-4", "train.lr is 0.0001 there and 0.0002 here"},
        {"train.seed=1", "train.seed is 0 there and 1 here"},
        {"train.optimizer=lamb", "train.optimizer is \"adamw\" there and \"lamb\" here"},
        {"train.micro_batch=8", "train.micro_batch is 0 there and 8 here"},
        {"train.warmup_steps=8", "train.warmup_steps is 10000 there and 8 here"},
        {"model.attention_dropout=0.2", "model.attention_dropout is 0.1 there and 0.2 here"},
        {"data.sequence=64", "data.sequence is 128 there and 64 here"},
        {"data.whole_word=true", "data.whole_word is false there and true here"},
    };
    for (const auto& [assignment, expected] : bound) {
        RunConfig here;
        here.set(assignment);
        CHECK(here.difference(there) == expected);
    }
}

TEST_CASE("difference: keys that the method does not read don't count") {
    const auto difference = [](const char* method, const char* setting) {
        RunConfig here, there;
        here.set(fmt::format("train.method={}", method));
        there.set(fmt::format("train.method={}", method));
        here.set(setting);
        return here.difference(there);
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
    RunConfig there;
    there.set("train.steps=500");
    const auto record = RunConfig::from_toml(there.to_toml(), "record");
    RunConfig here;
    here.set("train.steps=5000");
    here.set("data.sequence=64");
    CHECK(here.train.warmup() == 500);
    here.go_on_from(record, "runs/mine");
    CHECK(here.train.warmup() == 50);
    CHECK(here.data.predictions() == 10);  // data.sequence defines the run: what follows from it is not taken over
    here.set("data.sequence=128");
    CHECK(here.difference(record).empty());
    here.set("train.steps=40");
    CHECK(message_of([&] { here.validate(); }) ==
          "train.warmup_steps (runs/mine) is 50: it must be at most train.steps (--set) = 40");

    RunConfig given;
    given.set("train.warmup_steps=7");
    given.go_on_from(record, "runs/mine");
    CHECK(given.train.warmup() == 7);
    CHECK(given.difference(record) == "train.warmup_steps is 50 there and 7 here");
}

TEST_CASE("difference: a data folder is the same however its path is written") {
    RunConfig here, there;
    here.set("data.path=books");
    CHECK(here.difference(there).starts_with("data.path is "));
    there.set("data.path=./x/../books");
    CHECK(here.difference(there).empty());
    there.set("data.path=" + (fs::current_path() / "books").string());
    CHECK(here.difference(there).empty());
    there.set("data.path=tales");
    CHECK_FALSE(here.difference(there).empty());
}

TEST_CASE("configs/: every file loads and is valid") {
    size_t files = 0;
    for (const auto& entry : fs::directory_iterator(kConfigs)) {
        const std::string path = entry.path().string();
        CAPTURE(path);
        const auto config = RunConfig::load(path);
        config.validate();
        CHECK(config.data.sequence <= config.model.max_positions);
        ++files;
    }
    CHECK(files == 11);
}

TEST_CASE("configs/: those named after a preset are that preset with the default recipe, written out") {
    // Parameters of transformers' BertForMaskedLM of that size, decoder tied.
    const std::pair<const char*, int64_t> counts[] = {{"bert-tiny", 4'416'698},   {"bert-mini", 11'201'594},
                                                      {"bert-small", 28'795'194}, {"bert-medium", 41'404'730},
                                                      {"bert-base", 109'514'298}, {"bert-large", 335'174'458}};
    for (const auto& [name, count] : counts) {
        auto config = RunConfig::load((kConfigs / (std::string(name) + ".toml")).string());
        CHECK(config.model.parameter_count() == count);
        CHECK(config.to_toml() == RunConfig::load(name).to_toml());
        for (const std::string key : {"dropping.keep", "dropping.importance_beta", "sctd.interval", "sctd.full_mlm"})
            CHECK_MESSAGE(config.origins.contains(key), key);
        config.set("train.method=sctd");
        CHECK(message_of([&] { config.validate(); }).empty() == (config.model.layers >= 4));
    }
}

TEST_CASE("configs/: the papers' recipes differ from their preset in what they say, and in nothing else") {
    const std::string dropping =
        "activation = \"gelu_new\"; sequence = 512; max_predictions = 76; method = \"token_dropping\"; batch = 512; "
        "schedule = \"polynomial\"; epsilon = 1e-07; keep = 256; ";
    const std::string sctd =
        "sequence = 512; max_predictions = 77; method = \"sctd\"; steps = 250000; batch = 128; lr = 0.0002; "
        "warmup_steps = 25000; schedule = \"polynomial\"; clip = 0.0; importance_beta = 0.95; ";
    for (const char* size : {"base", "large"}) {
        CAPTURE(size);
        const std::string preset = fmt::format("bert-{}", size);
        const auto changes = [&](const std::string& method) {
            const std::string file = fmt::format("{}-{}.toml", method, preset);
            std::istringstream recipe(RunConfig::load((kConfigs / file).string()).to_toml());
            std::istringstream standard(RunConfig::load(preset).to_toml());
            std::string changed;
            for (std::string line, other; std::getline(recipe, line) && std::getline(standard, other);)
                if (line != other) changed += line + "; ";
            return changed;
        };
        CHECK(changes("token-dropping") == dropping);
        CHECK(changes("sctd") == sctd);
    }
}
