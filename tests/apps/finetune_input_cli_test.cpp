// The command `dropforge finetune` on files, models and options that are wrong, or odd: one line that says what and
// where, and no result; or what is stated to happen.
#include <doctest/doctest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "tests/support/changed_model.h"
#include "tests/support/cli_fixture.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

using Json = nlohmann::json;

const fs::path kGolden = fs::path(kTestData) / "finetune";

/// A golden case as a command, whose files and model a test changes.
struct Trial {
    TemporaryFolder folder;
    std::string name;
    fs::path model = kGolden / name, out = folder / "out", train, evaluated;

    explicit Trial(const std::string& name, const std::string& ending = ".tsv")
        : name(name), train(kGolden / name / ("train" + ending)), evaluated(kGolden / name / ("eval" + ending)) {}

    std::string text() const { return read_text(kGolden / name / train.filename()); }
    /// Replaces the training file, or the one to evaluate on.
    void write_train(const std::string& text) {
        train = folder / train.filename();
        write_text(train, text);
    }
    void write_evaluated(const std::string& text) {
        evaluated = folder / evaluated.filename();
        write_text(evaluated, text);
    }
    /// Replaces the model by a changed one.
    void change_model(const std::function<void(ChangedModel&)>& change, const std::string& more_tokens = "") {
        ChangedModel changed(kGolden / name);
        change(changed);
        model = folder / "model";
        fs::create_directory(model);
        write_text(model / "vocab.txt", read_text(kGolden / name / "vocab.txt") + more_tokens);
        changed.write_config();
        changed.write_file("model.safetensors", [](const std::string&) { return true; });
        for (const char* file : {"config.json", "model.safetensors"}) fs::rename(changed.folder / file, model / file);
    }

    Arguments command(const Arguments& more = {}) const {
        return Arguments{"finetune",
                         "--model",
                         model.string(),
                         "--task",
                         name,
                         "--train",
                         train.string(),
                         "--eval",
                         evaluated.string(),
                         "--out",
                         out.string(),
                         "--set",
                         "train.precision=f32",
                         "--set",
                         "train.epochs=1"} +
               more;
    }
    void check_refused(std::initializer_list<std::string> parts, const Arguments& more = {}) const {
        dropforge::test::check_refused(command(more), 1, parts);
        CHECK(!fs::exists(out / "result.json"));
    }
    CommandResult succeed(const Arguments& more = {}) const { return dropforge::test::succeed(command(more)); }
    Json result() const { return Json::parse(read_text(out / "result.json")); }
    std::string logits() const { return read_text(out / "eval.safetensors"); }
    Arguments evaluate(const Arguments& more = {}) const {
        return Arguments{"evaluate", "--model", model.string(), "--task", name, "--eval", evaluated.string()} + more;
    }
};

/// `text` with the first `from` replaced.
std::string replaced(std::string text, const std::string& from, const std::string& to) {
    const size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    return text.replace(at, from.size(), to);
}

/// `text` with every `from` replaced.
std::string all_replaced(std::string text, const std::string& from, const std::string& to) {
    for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
        text.replace(at, from.size(), to);
    return text;
}

}  // namespace

TEST_CASE("lines: a wrong number of columns, by file and line; left out if that is asked for") {
    Trial trial("single");
    trial.write_train(replaced(trial.text(), "\n2\t", "\n2\tmore\t"));
    trial.check_refused({"train.tsv:3: 3 columns", "2"});
    const CommandResult result = trial.succeed({"--set", "data.bad_lines=skip"});
    CHECK(contains(result.error, "train.tsv: 1 lines or questions were left out\n"));
    CHECK(trial.result().at("train").at("skipped") == 1);
}

TEST_CASE("files: missing, empty, without an example, of another task") {
    Trial trial("single");
    trial.write_train("");
    trial.check_refused({"train.tsv: "});
    trial.write_train("label\tsentence\n");
    trial.check_refused({"train.tsv: "});
    trial.train = trial.folder / "none.tsv";
    trial.check_refused({"none.tsv: cannot open: No such file"});
    trial.train = kGolden / "copa" / "train.jsonl";
    trial.check_refused({"train.jsonl:1: "});
    Trial squad("squad2", ".json");
    squad.write_train("[]");
    squad.check_refused({"train.json: "});
}

TEST_CASE("labels: one that the training file lacks, one that nothing has, the number of class weights") {
    Trial trial("single");
    trial.write_evaluated("label\tsentence\n2\tnimine\n7\tvuwomi\n");
    trial.check_refused({"eval.tsv:3: unknown label 7; expected one of 2, 9, 10"});
    trial.check_refused({"train.tsv:2: unknown label 10; expected one of 2, 9, 7"}, {"--labels", "2,9,7"});
    trial.write_evaluated("label\tsentence\n2\tnimine\n");
    trial.check_refused({"train.class_weights", "2 numbers", "3 labels 2, 9, 10"},
                        {"--set", "train.class_weights=1,2"});
    trial.succeed({"--labels", "2,9,10,7"});
    CHECK(trial.result().at("labels") == Json{"2", "9", "10", "7"});
}

TEST_CASE("texts longer than the model are cut, counted, and said once") {
    const Trial trial("single");
    const CommandResult result = trial.succeed({"--set", "data.max_length=8"});
    const auto cut = trial.result().at("train").at("truncated").get<int64_t>();
    CHECK(cut > 0);
    const std::string note = fmt::format("train.tsv: {} of 45 examples are longer than 8 pieces and were cut\n", cut);
    const size_t first = result.error.find(note);
    REQUIRE(first != std::string::npos);
    CHECK(result.error.find(note, first + 1) == std::string::npos);
    const Trial longest("single");  // 56 positions
    longest.succeed({"--set", "data.max_length=4000"});
    CHECK(longest.result().at("train").at("truncated") == 0);
}

TEST_CASE("a byte order mark and CR change nothing; quotes are characters") {
    const Trial plain("single");
    plain.succeed();
    Trial trial("single");
    trial.write_train("\xef\xbb\xbf" + all_replaced(trial.text(), "\n", "\r\n"));
    trial.write_evaluated("\xef\xbb\xbf" + all_replaced(read_text(trial.evaluated), "\n", "\r\n"));
    trial.succeed();
    CHECK(trial.logits() == plain.logits());
    CHECK(trial.result().at("labels") == plain.result().at("labels"));
    Trial quoted("single");
    quoted.write_evaluated("label\tsentence\n\"2\"\tnimine\n");
    quoted.check_refused({"eval.tsv:2: unknown label \"2\"; expected one of 2, 9, 10"});
}

TEST_CASE("SQuAD: an answer that is not at its place, by file and question; left out if that is asked for") {
    Trial trial("squad2", ".json");
    const Arguments windows = {"--set", "data.max_length=26", "--set", "data.doc_stride=10"};
    trial.write_train(replaced(trial.text(), "\"answer_start\": 64", "\"answer_start\": 63"));
    trial.check_refused({"train.json: train-001: "}, windows);
    const CommandResult result = trial.succeed(windows + Arguments{"--set", "data.bad_lines=skip"});
    CHECK(contains(result.error, "train.json: 1 lines or questions were left out\n"));
    CHECK(trial.result().at("train").at("skipped") == 1);
    Trial stride("squad2", ".json");
    stride.check_refused({"train.json: train-001: data.doc_stride = 21"},
                         {"--set", "data.max_length=26", "--set", "data.doc_stride=21"});
}

TEST_CASE("choices: another number of them in the file to evaluate on") {
    Trial trial("copa", ".jsonl");
    trial.name = "choice";
    trial.model = kGolden / "copa";
    trial.write_train("{\"label\": 0, \"premise\": \"a\", \"choice1\": \"b\", \"choice2\": \"c\"}\n");
    trial.write_evaluated(
        "{\"label\": 0, \"premise\": \"a\", \"choice1\": \"b\", \"choice2\": \"c\", \"choice3\": \"d\"}\n");
    trial.check_refused({"eval.jsonl: 3 choices, ", "train.jsonl has 2"});
}

TEST_CASE("models: not there, NaN, overflow, a vocabulary with ids past the table, no tokenizer") {
    Trial trial("single");
    trial.model = trial.folder / "none";
    trial.check_refused({"none/config.json: No such file"});
    Trial nan("single");
    nan.change_model([](ChangedModel& m) { m.tensors.at("classifier.bias").values[1] = std::nanf(""); });
    nan.check_refused({"model.safetensors: tensor classifier.bias: 1 of 3 elements are NaN", "element 1"});
    CHECK(!fs::exists(nan.out));
    Trial ids("single");
    std::string tokens;
    for (int i = 0; i < 400; ++i) tokens += fmt::format("[unused{}]\n", i);
    ids.change_model([](ChangedModel&) {}, tokens);
    ids.check_refused({"the vocabulary has ", "tokens, but vocab_size is 384"});
    fs::remove(ids.model / "vocab.txt");
    ids.check_refused({"vocab.txt"});
}

TEST_CASE("a loss that overflows ends the run and names the step; so do logits, and an evaluation") {
    const auto overflow = [](ChangedModel& m) { std::ranges::fill(m.tensors.at("classifier.weight").values, 3e38f); };
    Trial trial("single");
    trial.change_model(overflow);
    trial.check_refused({"step 1: the loss is ", "nan"});
    check_refused(trial.evaluate({"--labels", "2,9,10"}), 1, {"eval.tsv: the model's logits are not all finite"});
    const Trial rate("single");
    rate.check_refused({"after step 1: ", "eval.tsv: the model's logits are not all finite"},
                       {"--set", "train.lr=1e38", "--set", "train.steps=1", "--set", "train.warmup=0"});
}

TEST_CASE("a head of another number of labels is made anew, with a note; evaluate refuses") {
    Trial trial("single");
    trial.write_train("label\tsentence\nyes\tnimine\nno\tvuwomi\n");
    trial.write_evaluated("label\tsentence\nno\tnimine\nyes\tvuwomi\n");
    CHECK(contains(trial.succeed().error, ": new weights for classifier.weight, classifier.bias\n"));
    CHECK(trial.result().at("labels") == Json{"no", "yes"});
    check_refused(trial.evaluate({"--labels", "no,yes"}), 1, {"no head for single: the tensor classifier.weight"});
    check_refused(trial.evaluate(), 1, {"eval.tsv:2: unknown label no; expected one of LABEL_0"});
    Trial other = Trial("squad2", ".json");  // with a head for spans, and no pooler
    other.name = "single";
    other.train = trial.train;
    other.evaluated = trial.evaluated;
    CHECK(contains(other.succeed().error,
                   "new weights for bert.pooler.dense.weight, bert.pooler.dense.bias, classifier"));
    check_refused(other.evaluate({"--labels", "no,yes"}), 1, {"no head for single"});
}

TEST_CASE("a checkpoint with two heads: the task's is used, the other left out of what is written") {
    const Trial one("single");
    one.succeed();
    Trial two("single");
    two.change_model([](ChangedModel& m) {
        m.tensors["qa_outputs.weight"] = {{2, 32}, std::vector<float>(64, 1)};
        m.tensors["qa_outputs.bias"] = {{2}, {1, 2}};
        m.tensors["cls.predictions.bias"] = {{384}, std::vector<float>(384)};
    });
    CHECK(!contains(two.succeed().error, "new weights"));
    CHECK(two.logits() == one.logits());
    CHECK(read_text(two.out / "checkpoint/model.safetensors") == read_text(one.out / "checkpoint/model.safetensors"));
}

TEST_CASE("options: an unknown key names the nearest; precision, columns, labels, settings that contradict the model") {
    const Trial trial("single");
    trial.check_refused({"there is no key train.lrr; the nearest is train.lr"}, {"--set", "train.lrr=1"});
    trial.check_refused({"expected one of \"auto\", \"bf16\", \"fp16\", \"f32\"", "f31"}, {"--precision", "f31"});
    trial.check_refused({"fp16 is for CUDA devices"}, {"--precision", "fp16"});
    trial.check_refused({"--columns names 1 columns, expected LABEL,TEXT"}, {"--columns", "text"});
    trial.check_refused({"--labels 2,2: expected different names"}, {"--labels", "2,2"});
    trial.check_refused({"train.frozen", "at most 2"}, {"--set", "train.frozen=3"});
    Arguments unknown = trial.command();
    unknown[4] = "singel";
    check_refused(unknown, 2, {"--task", "singel"});
    check_refused({"finetune", "--task", "single"}, 2, {"--model is required"});
    CHECK(!fs::exists(trial.out));
}
