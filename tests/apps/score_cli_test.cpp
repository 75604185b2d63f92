// The command `dropforge score`: metrics of random predictions as scikit-learn, scipy and SQuAD's scripts have them
// (tests/golden/finetune/score), and one line for what is wrong with a file.
#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/support/cli_fixture.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

const fs::path kScores = fs::path(kTestData) / "finetune" / "score";

/// The arguments of a golden case, with the paths of its files.
Arguments arguments_of(const nlohmann::json& entry) {
    Arguments arguments = {"score"};
    for (const std::string argument : entry.at("arguments"))
        arguments.push_back(fs::exists(kScores / argument) ? (kScores / argument).string() : argument);
    return arguments;
}

/// Equal but for the order in which doubles are summed: a mean of n numbers is off by at most n half ulps, a
/// correlation by n for the sum above and n for the root of two below, with a few more for their terms. (Its means,
/// which may be far larger than what is left of the numbers, have NumPy's order.) One decision in the files changes
/// 1/n.
bool is_same(const nlohmann::json& got, const nlohmann::json& expected, int64_t examples) {
    if (got.is_null() || expected.is_null()) return got.is_null() && expected.is_null();
    const double limit = 4 * static_cast<double>(examples) * 0x1p-53;
    return std::abs(got.get<double>() - expected.get<double>()) <=
           limit * std::max(1.0, std::abs(expected.get<double>()));
}

/// A folder with an evaluated file and predictions for it.
struct Files {
    TemporaryFolder folder;

    std::string write(const std::string& name, const std::string& text) const {
        write_text(folder / name, text);
        return (folder / name).string();
    }
    Arguments score(const std::string& task, const std::string& eval, const std::string& predictions,
                    const std::string& ending = "tsv") const {
        return {"score",
                "--task",
                task,
                "--eval",
                write("eval." + ending, eval),
                "--predictions",
                write("predictions." + ending, predictions)};
    }
};

const std::string kTwo = "1\tx\n0\ty\n", kHeader = "index\tprediction\n";
const std::string kQuestions = R"({"data": [{"paragraphs": [{"context": "a b", "qas": [)"
                               R"({"id": "q1", "question": "?", "answers": [{"text": "b", "answer_start": 2}]},)"
                               R"({"id": "q2", "question": "?", "answers": []}]}]}]})";

}  // namespace

TEST_CASE("golden: every case, metrics or error") {
    int checked = 0;
    const auto cases = nlohmann::json::parse(read_text(kScores / "case.json"));
    for (const nlohmann::json& entry : cases.at("scores")) {
        CAPTURE(entry.at("name").get<std::string>());
        const Arguments arguments = arguments_of(entry) + Arguments{"--json"};
        ++checked;
        if (entry.contains("error")) {
            check_refused(arguments, 1, {entry.at("error").get<std::string>()});
            continue;
        }
        const CommandResult result = run_command(arguments);
        REQUIRE_MESSAGE(result.exit_code == 0, result.error);
        const auto got = nlohmann::json::parse(result.out);
        const int64_t examples = got.at("examples");
        CHECK(is_same(got.at("main"), entry.at("main"), examples));
        CHECK(got.at("metrics").size() == entry.at("expected").size());
        for (const auto& metric : entry.at("expected").items()) {
            CAPTURE(metric.key());
            REQUIRE(got.at("metrics").contains(metric.key()));
            CHECK(is_same(got.at("metrics").at(metric.key()), metric.value(), examples));
        }
    }
    CHECK(checked == 22);
}

TEST_CASE("what is printed") {
    const Files files;
    const Arguments command = files.score("cola", kTwo, kHeader + "0\t1\n1\t1\n");
    const CommandResult text = run_command(command);
    CHECK(
        text.out ==
        "matthews            0.0000\naccuracy            0.5000\nmain                0.0000\nexamples            2\n");
    CHECK(text.error.empty());
    CHECK(run_command(command + Arguments{"--json"}).out ==
          "{\"task\":\"cola\",\"examples\":2,\"main\":0.0,\"metrics\":{\"matthews\":0.0,\"accuracy\":0.5}}\n");
    const CommandResult constant = run_command(files.score("stsb", "1\tx\ty\n2\tx\ty\n", kHeader + "0\t3\n1\t3\n"));
    CHECK(contains(constant.out, "pearson             not defined\n"));
    CHECK(contains(constant.out, "main                not defined\n"));
}

TEST_CASE("prediction files: other columns are ignored; BOM, CR LF; labels of both files, or given") {
    const Files files;
    const auto accuracy = [&](const Arguments& command) {
        const CommandResult result = run_command(command + Arguments{"--json"});
        REQUIRE_MESSAGE(result.exit_code == 0, result.error);
        return nlohmann::json::parse(result.out).at("metrics").at("accuracy").get<double>();
    };
    CHECK(accuracy(files.score("cola", kTwo, "\xEF\xBB\xBFscore\tprediction\tindex\r\n.1\t1\t0\r\n.2\tFalse\t1\r\n")) ==
          1);
    CHECK(accuracy(files.score("single", "a\tx\nb\ty\n", kHeader + "0\ta\n1\tc\n")) == 0.5);
    CHECK(accuracy(files.score("single", kTwo, kHeader + "0\tTrue\n1\tTrue\n")) == 0.5);
    check_refused(files.score("single", "a\tx\nb\ty\n", kHeader + "0\ta\n1\tc\n") + Arguments{"--labels", "a,b"}, 1,
                  {"predictions.tsv:3: unknown label c; expected one of a, b"});
    CHECK(accuracy(files.score("single", "t\tlabel\tn\nx\ta\t1\ny\tb\t2\n", kHeader + "0\ta\n1\tb\n") +
                   Arguments{"--columns", "label,t"}) == 1);
}

TEST_CASE("files that are refused, in one line") {
    const Files files;
    const auto refuse = [&](const std::string& eval, const std::string& predictions,
                            std::initializer_list<std::string> parts) {
        check_refused(files.score("cola", eval, predictions), 1, parts);
    };
    const std::string good = kHeader + "0\t1\n1\t0\n";
    refuse("", good, {"eval.tsv: empty"});
    refuse("1\tx\n0\ty\tz\n", good, {"eval.tsv:2: 3 columns, expected 2"});
    refuse("1\tx\n3\ty\n", good, {"eval.tsv:2: unknown label 3; expected one of 0, 1"});
    refuse(kTwo, "", {"predictions.tsv: empty"});
    refuse(kTwo, "0\t1\n1\t0\n", {"predictions.tsv:1: the columns are 0, 1, expected prediction, index"});
    refuse(kTwo, kHeader + "0\t1\n", {"predictions.tsv: 1 predictions for the 2 examples of ", "eval.tsv"});
    refuse(kTwo, good + "2\t0\n", {"predictions.tsv: 3 predictions for the 2 examples of "});
    refuse(kTwo, kHeader + "1\t1\n0\t0\n", {"predictions.tsv:2: index 1, expected 0"});
    refuse(kTwo, kHeader + "0\t1\n1\n", {"predictions.tsv:3: 1 columns, expected 2"});
    refuse(kTwo, kHeader + "0\t1\n1\t2\n", {"predictions.tsv:3: unknown label 2"});
    check_refused(files.score("stsb", "1\tx\ty\n", kHeader + "0\tnan\n"), 1, {"predictions.tsv:2: ", "\"nan\""});
    check_refused(files.score("copa", "label\tpremise\tchoice1\tchoice2\n0\tp\tx\ty\n", kHeader + "0\t2\n"), 1,
                  {"predictions.tsv:2: unknown label 2; expected 0 … 1"});
    Arguments missing = files.score("cola", kTwo, good);
    missing[4] += "x";
    check_refused(missing, 1, {"eval.tsvx: cannot open: No such file"});
    missing = files.score("cola", kTwo, good);
    missing[6] += "x";
    check_refused(missing, 1, {"predictions.tsvx: cannot open: No such file"});
}

TEST_CASE("words that are refused: others than the file's, sentences that end elsewhere") {
    const Files files;
    const auto refuse = [&](const std::string& predictions, std::initializer_list<std::string> parts) {
        check_refused(files.score("token", "a O\nb O\n\nc O\n", predictions, "conll"), 1, parts);
    };
    refuse("a O\nx O\n\nc O\n", {"predictions.conll:2: the word x, expected b as in ", "eval.conll:2"});
    refuse("a O\n\nb O\nc O\n", {"predictions.conll:1: a sentence of 1 words, expected 2 as in ", "eval.conll:1"});
    refuse("a O\nb O\n", {"predictions.conll: 1 predictions for the 2 examples"});
    refuse("a O\nb\n", {"predictions.conll:2: 1 column, expected a word and a label"});
    check_refused(files.score("token", "a O\n", "a X\n", "conll") + Arguments{"--labels", "O"}, 1,
                  {"predictions.conll:1: unknown label X"});
}

TEST_CASE("answers and odds that are refused: of other questions, no text, no numbers") {
    const Files files;
    const std::string good = R"({"q1": "b", "q2": ""})";
    const auto refuse = [&](const std::string& predictions, std::initializer_list<std::string> parts) {
        check_refused(files.score("squad2", kQuestions, predictions, "json"), 1, parts);
    };
    refuse(R"({"q1": "b"})", {"predictions.json: q2: missing, expected text"});
    refuse(R"({"q1": "b", "q2": 1})", {"predictions.json: q2: 1, expected text"});
    refuse(R"({"q1": "b", "q2": "", "q3": ""})", {"predictions.json: 3 predictions for the 2 questions"});
    refuse(R"({"q1": "b", "q1": ""})", {"predictions.json: the key \"q1\" is there twice"});
    refuse("[]", {"predictions.json: not a JSON object"});
    refuse("{", {"predictions.json: not JSON"});
    const auto refuse_odds = [&](const std::string& odds, std::initializer_list<std::string> parts) {
        check_refused(
            files.score("squad2", kQuestions, good, "json") + Arguments{"--null-odds", files.write("odds.json", odds)},
            1, parts);
    };
    refuse_odds(R"({"q1": 1})", {"odds.json: q2: missing, expected a number"});
    refuse_odds(R"({"q1": 1, "q2": "2"})", {"odds.json: q2: \"2\", expected a number"});
    refuse_odds(R"({"q1": 1, "q2": NaN})", {"odds.json: not JSON"});
    const std::string odds = files.write("odds.json", R"({"q1": 1, "q2": 2})");
    check_refused(files.score("cola", kTwo, kHeader + "0\t1\n1\t0\n") + Arguments{"--null-odds", odds}, 1,
                  {"--null-odds: cola has no questions without an answer"});
    // This file has one, which squad does not heed; span is squad only where a file has none.
    check_refused(files.score("squad", kQuestions, good, "json") + Arguments{"--null-odds", odds}, 1,
                  {"--null-odds: squad has no questions without an answer"});
    const std::string answered =
        std::string(kQuestions).replace(kQuestions.find("[]"), 2, R"([{"text": "a", "answer_start": 0}])");
    check_refused(files.score("span", answered, good, "json") + Arguments{"--null-odds", odds}, 1,
                  {"eval.json has no questions without an answer"});
}

TEST_CASE("odds: of equal ones the order of their file decides") {
    const Files files;
    const auto best = [&](const std::string& odds) {
        const CommandResult result =
            run_command(files.score("squad2", kQuestions, R"({"q1": "b", "q2": "b"})", "json") +
                        Arguments{"--json", "--null-odds", files.write("odds.json", odds)});
        REQUIRE_MESSAGE(result.exit_code == 0, result.error);
        return nlohmann::json::parse(result.out).at("metrics").at("best_f1").get<double>();
    };
    CHECK(best(R"({"q1": 1, "q2": 1})") == 1);
    CHECK(best(R"({"q2": 1, "q1": 1})") == 0.5);
}

TEST_CASE("options that are refused") {
    const Files files;
    const Arguments command = files.score("cola", kTwo, kHeader + "0\t1\n1\t0\n");
    check_refused({"score", "--task", "cola"}, 2, {"--predictions is required"});
    check_refused(command + Arguments{"--null-threshold", "1"}, 2, {"--null-threshold", "--null-odds"});
    check_refused(command + Arguments{"--null-odds", "x", "--null-threshold", "nan"}, 2,
                  {"expected a number, got nan"});
    check_refused(command + Arguments{"--labels", "0,1"}, 1, {"--labels: those of cola are 0, 1"});
    check_refused(command + Arguments{"--columns", "a,b"}, 1, {"eval.tsv:1: the columns are 1, x, expected a, b"});
    Arguments unknown = command;
    unknown[2] = "sst";
    check_refused(unknown, 2, {"--task", "sst"});
}
