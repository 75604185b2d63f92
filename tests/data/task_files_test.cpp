// Files of tasks: what is read of each format, and the one line for what does not fit.
#include <doctest/doctest.h>

#include "data/tasks/examples.h"
#include "data/tasks/labels.h"
#include "tests/support/data_fixture.h"

using namespace dropforge;
using namespace dropforge::tasks;
using dropforge::test::contains;
using dropforge::test::error_of;

namespace {

using Names = std::vector<std::string>;

/// A folder in which a test writes the files that it reads.
class Files {
  public:
    ExampleFile read(const std::string& task, const std::string& text, const ReadOptions& options = {},
                     const std::string& name = "file.tsv") {
        write_text(folder_ / name, text);
        return read_examples(find_task(task), folder_ / name, options);
    }
    /// The error, without the folder.
    std::string error(const std::string& task, const std::string& text, const ReadOptions& options = {},
                      const std::string& name = "file.tsv") {
        const std::string message = error_of([&] { read(task, text, options, name); });
        const std::string folder = folder_.path().string() + '/';
        return message.starts_with(folder) ? message.substr(folder.size()) : message;
    }
    void write(const std::string& name, const std::string& text) { write_text(folder_ / name, text); }
    fs::path path(const std::string& name) const { return folder_ / name; }

  private:
    TemporaryFolder folder_;
};

Names texts_of(const ExampleFile& file) {
    Names texts;
    for (const Example& example : file.examples) {
        texts.push_back(example.labels.empty() ? example.id : example.labels[0]);
        texts.push_back(example.a);
        if (example.b) texts.push_back(*example.b);
    }
    return texts;
}

const std::string kSquad =
    R"({"version": "x", "data": [{"title": "t", "paragraphs": [{"context": "Die Stra\u00dfe \ud83d\ude00 hier.", "qas": [)"
    R"({"id": "q1", "question": "What?", "answers": [{"text": "hier", "answer_start": 13}]},)"
    R"({"id": 2, "question": "Who?", "is_impossible": true, "answers": [{"text": "Die", "answer_start": 0}]},)"
    R"({"id": "q3", "question": "How?", "answers": []}]}]}]})";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    const size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("tasks: found by name, or the nearest is named") {
    CHECK(find_task("squad2").length == 384);
    CHECK(error_of([] { find_task("sst-2"); }) == "no task sst-2; the nearest is sst2");
    CHECK(all_tasks().size() == 22);
}

TEST_CASE("TSV: byte order mark, CR LF, empty lines, invalid bytes, no quoting, the last line without LF") {
    Files files;
    CHECK(files.error("sst2", "\xEF\xBB\xBF") == "file.tsv: empty");
    CHECK(texts_of(files.read("sst2", "\xEF\xBB\xBFsentence\tlabel\r\n\r\n\"a b\" \t 1 \r\n\nx\xFFy\t0")) ==
          Names{"1", "\"a b\" ", "0", "x\xEF\xBF\xBDy"});
}

TEST_CASE("TSV: headers of named tasks, in any order, and none") {
    Files files;
    CHECK(texts_of(files.read("mrpc", "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\tx\ty\n")) ==
          Names{"1", "x", "y"});
    CHECK(texts_of(files.read("mrpc", "sentence2\tlabel\tsentence1\ny\t1\tx\n")) == Names{"1", "x", "y"});
    CHECK(texts_of(files.read("mrpc", "1\tx\ty\n0\tz\tw\n")) == Names{"1", "x", "y", "0", "z", "w"});
    CHECK(texts_of(files.read("cola", "gj04\t1\t\tx y\n")) == Names{"1", "x y"});
    CHECK(texts_of(files.read("cola", "1\tx y\n")) == Names{"1", "x y"});
    CHECK(texts_of(files.read("wic", "label\tword\tsentence1\tsentence2\n1\tbank\tx\ty\n")) ==
          Names{"1", "bank: x", "y"});
    const ExampleFile mnli = files.read("mnli", "gold_label\tsentence1\tsentence2\n-\ta\tb\nneutral\tx\ty\n");
    CHECK(texts_of(mnli) == Names{"neutral", "x", "y"});
    CHECK(mnli.skipped == 1);
}

TEST_CASE("TSV: a user's own columns") {
    Files files;
    CHECK(texts_of(files.read("single", "5\tx\n6\ty\n")) == Names{"5", "x", "6", "y"});
    CHECK(texts_of(files.read("single", "text\tlabel\nx\t5\n")) == Names{"5", "x"});
    CHECK(texts_of(files.read("pair", "b\tlabel\ta\nx\t5\ty\n")) == Names{"5", "x", "y"});
    CHECK(texts_of(files.read("regression", "score\ttext\n0.5\tx\n")) == Names{"0.5", "x"});
    CHECK(texts_of(files.read("regression", "label\ta\tb\n0.5\tx\ty\n")) == Names{"0.5", "x", "y"});
    CHECK(files.read("regression", "1\tx\n").examples[0].b == std::nullopt);
    const ReadOptions columns{.columns = {"z", "x"}};
    CHECK(texts_of(files.read("single", "x\ty\tz\na\tb\tc\n", columns)) == Names{"c", "a"});
    CHECK(texts_of(files.read("sst2", "x\ty\tz\na\tb\tc\n", columns)) == Names{"c", "a"});
}

TEST_CASE("TSV: what does not fit, with file and line") {
    Files files;
    CHECK(files.error("sst2", "") == "file.tsv: empty");
    CHECK(files.error("sst2", "\n\r\n") == "file.tsv: empty");
    CHECK(files.error("sst2", "label\tsentence\n") == "file.tsv: no examples");
    CHECK(files.error("sst2", "label\tsentence\n\n1\tx\n1\tx\ty\n") ==
          "file.tsv:4: 3 columns, expected 2 as in the first line");
    CHECK(files.error("sst2", "label\ttext\tx\n") == "file.tsv:1: 3 columns, and no header with label, sentence");
    CHECK(files.error("mrpc", "1\tx\n") ==
          "file.tsv:1: 2 columns, and no header with Quality or label, #1 String or sentence1, #2 String or sentence2");
    CHECK(files.error("wic", "1\tbank\tx\ty\n") ==
          "file.tsv:1: 4 columns, and no header with label, word, sentence1, sentence2");
    CHECK(files.error("single", "label\ta\tb\n1\tx\ty\n") ==
          "file.tsv:1: 2 columns beside label: --columns LABEL,TEXT[,TEXT] says which are the texts");
    CHECK(files.error("single", "a\tb\tc\n") == "file.tsv:1: 3 columns, and no header with label");
    CHECK(files.error("single", "a\tb\n", {.columns = {"a", "c"}}) ==
          "file.tsv:1: the columns are a, b, expected a, c");
    CHECK(files.error("single", "a\tb\n", {.columns = {"a"}}) == "--columns names 1 columns, expected LABEL,TEXT");
    CHECK(files.error("squad", kSquad, {.columns = {"a"}}) == "--columns: the columns of squad are fixed");
    CHECK(error_of([&] { read_examples(find_task("sst2"), files.path("none.tsv")); }) ==
          files.path("none.tsv").string() + ": cannot open: No such file or directory");
}

TEST_CASE("TSV: lines with another number of columns are left out on demand, and counted") {
    Files files;
    const ReadOptions skip{.skip_bad_lines = true};
    const ExampleFile file = files.read("sst2", "label\tsentence\n1\tx\ty\n0\tz\n1\n", skip);
    CHECK(texts_of(file) == Names{"0", "z"});
    CHECK(file.skipped == 2);
    CHECK(file.where(file.examples[0]) == files.path("file.tsv").string() + ":3");
    CHECK(files.error("sst2", "label\tsentence\n1\tx\ty\n", skip) == "file.tsv: no examples; 1 were left out");
}

TEST_CASE("JSON lines: keys are columns, true and false and numbers are text") {
    Files files;
    const std::string name = "file.jsonl";
    CHECK(texts_of(files.read("boolq", "{\"question\": \"q\", \"passage\": \"p\", \"idx\": 1, \"label\": true}\n\n", {},
                              name)) == Names{"1", "q", "p"});
    CHECK(texts_of(files.read("stsb", "{\"score\": 2.5, \"sentence1\": \"x\", \"sentence2\": 7}", {}, name)) ==
          Names{"2.5", "x", "7"});
    CHECK(texts_of(files.read("pair",
                              "{\"z\": \"1\", \"label\": 0, \"a\": \"2\"}\r\n{\"a\": \"4\", \"z\": \"3\", "
                              "\"label\": 1}",
                              {}, name)) == Names{"0", "1", "2", "1", "3", "4"});
    CHECK(contains(files.error("rte", "{\"label\": \"entailment\", \"premise\": \"x\"}", {}, name),
                   "file.jsonl:1: the columns are label, premise, expected label, sentence1 or premise"));
    CHECK(files.error("sst2", "{\"label\": 1, \"sentence\": \"x\"}\n{\"label\": 1}", {}, name) ==
          "file.jsonl:2: no key sentence");
    CHECK(files.error("sst2", "{\"label\": [1], \"sentence\": \"x\"}", {}, name) ==
          "file.jsonl:1: label is [1], expected text, a number, true or false");
    CHECK(files.error("sst2", "{\"label\": 1, \"sentence\": \"x\"}\n[1]", {}, name) ==
          "file.jsonl:2: not a JSON object");
    CHECK(contains(files.error("sst2", "{\"label\": 1,", {}, name), "file.jsonl:1: not JSON: "));
    CHECK(files.error("sst2", "\n", {}, name) == "file.jsonl: empty");
    CHECK(contains(files.error("regression", "{\"text\": \"x\"}", {}, name), "expected score or label"));
}

TEST_CASE("choices: COPA's questions in words, N the same everywhere") {
    Files files;
    const ExampleFile copa =
        files.read("copa", "label\tpremise\tquestion\tchoice1\tchoice2\n1\tp\tcause\tx\ty\n0\tp\teffect\tx\ty\n");
    CHECK(copa.examples[0].a == "p What was the cause of this?");
    CHECK(copa.examples[1].a == "p What happened as a result?");
    CHECK(copa.examples[0].choices == Names{"x", "y"});
    const ExampleFile own = files.read("choice", "choice2\tchoice3\tchoice1\tpremise\tlabel\nb\tc\ta\tp\t2\n");
    CHECK(own.examples[0].choices == Names{"a", "b", "c"});
    CHECK(own.examples[0].a == "p");
    CHECK(files.read("choice", "label\tpremise\tasks_for\tchoice1\tchoice2\n0\t\twhat?\ta\tb\n").examples[0].a ==
          "what?");
    CHECK(files.error("copa", "1\tp\tcause\tx\ty\n") ==
          "file.tsv:1: no column label; expected label, premise, choice1, choice2 …");
    CHECK(contains(files.error("copa", "label\tpremise\tchoice1\n1\tp\tx\n"), "no column choice2"));
    const std::string first = R"({"label": 0, "premise": "p", "choice1": "x", "choice2": "y"})";
    CHECK(files.error("choice", first + "\n{\"choice3\": \"z\", " + first.substr(1), {}, "file.jsonl") ==
          "file.jsonl:2: a key choice3, which the first line does not have");
}

TEST_CASE("MultiRC: passages beside a TSV, or in JSON lines") {
    Files files;
    files.write("file_passages.tsv", "passage_id\tpassage\n7\tSome text.\n");
    const std::string header = "label\tpassage_id\tquestion_id\tquestion\tanswer\n";
    const ExampleFile file = files.read("multirc", header + "1\t7\t0\tWhy?\tSo.\n0\t7\t1\tWho?\tI.\n");
    CHECK(texts_of(file) == Names{"1", "Some text.", "Why? So.", "0", "Some text.", "Who? I."});
    CHECK(file.examples[0].group != file.examples[1].group);
    CHECK(files.error("multirc", header + "1\t8\t0\tWhy?\tSo.\n").starts_with("file.tsv:2: no passage 8 in "));
    const std::string line = R"({"idx": 3, "passage": {"text": "T", "questions": [{"idx": 1, "question": "Q",)"
                             R"( "answers": [{"text": "A", "label": 1}, {"text": "B", "label": " 0 "}]}]}})";
    const ExampleFile json = files.read("multirc", line, {}, "file.jsonl");
    CHECK(texts_of(json) == Names{"1", "T", "Q A", "0", "T", "Q B"});
    CHECK(json.examples[0].group == json.examples[1].group);
    CHECK(files.error("multirc", "{\"idx\": 3}", {}, "file.jsonl") == "file.jsonl:1: expected an object passage");
    CHECK(files.error("multirc", replaced(line, "\"answers\"", "\"a\""), {}, "file.jsonl") ==
          "file.jsonl:1: expected a list answers");
    fs::remove(files.path("file_passages.tsv"));
    CHECK(contains(files.error("multirc", header + "1\t7\t0\tWhy?\tSo.\n"), "file_passages.tsv: cannot open"));
}

TEST_CASE("CoNLL: word first, label last, sentences between blank lines") {
    Files files;
    const ExampleFile file =
        files.read("token", "-DOCSTART- -X- O O\n\nEU NNP B-NP B-ORG\r\nrejects\tO\n \t\n\n  German   x   B-MISC \n",
                   {}, "f.conll");
    REQUIRE(file.examples.size() == 2);
    CHECK(file.examples[0].words == Names{"EU", "rejects"});
    CHECK(file.examples[0].labels == Names{"B-ORG", "O"});
    CHECK(file.where(file.examples[0], 1) == files.path("f.conll").string() + ":4");
    CHECK(file.examples[1].words == Names{"German"});
    CHECK(files.error("token", "a O\nb\n") == "file.tsv:2: 1 column, expected a word and a label");
    CHECK(files.error("token", "\n\n") == "file.tsv: no examples");
}

TEST_CASE("SQuAD: questions with and without an answer; places count code points") {
    Files files;
    const ExampleFile file = files.read("span", kSquad, {.training = true}, "file.json");
    REQUIRE(file.examples.size() == 3);
    CHECK(file.examples[0].answers.size() == 1);
    CHECK(file.examples[0].answers[0].start == 13);
    CHECK(file.examples[1].id == "2");
    CHECK(file.examples[1].answers.empty());
    CHECK(file.examples[2].answers.empty());
    CHECK(*file.examples[2].b == "Die Straße \U0001f600 hier.");
    CHECK(resolve(find_task("span"), file).name == "squad2");
    ExampleFile answered = file;
    answered.examples.resize(1);
    CHECK(resolve(find_task("span"), answered).name == "squad");
    CHECK(resolve(find_task("squad2"), answered).name == "squad2");
}

TEST_CASE("SQuAD: what does not fit, with the question's id") {
    Files files;
    const auto error = [&](const std::string& from, const std::string& to, const ReadOptions& options = {}) {
        return files.error("squad", replaced(kSquad, from, to), options, "file.json");
    };
    const ReadOptions training{.training = true}, skip{.skip_bad_lines = true, .training = true};
    CHECK(error("\": 13", "\": 12", training) == "file.json: q1: the answer \"hier\" does not stand at character 12");
    CHECK(error("\": 13", "\": 99999999999", training).starts_with("file.json: q1: the answer"));
    CHECK(error("\": 13", "\": 12") == "");
    CHECK(files.read("squad", replaced(kSquad, "\": 13", "\": 12"), skip, "file.json").skipped == 1);
    CHECK(error("\": 13", "\": -1") == "file.json: q1: answer_start is -1, expected the number of a character");
    CHECK(error("\": 13", "\": \"13\"").starts_with("file.json: q1: answer_start is \"13\""));
    CHECK(error("\"q3\"", "\"q1\"") == "file.json: q1: two questions have this id");
    CHECK(error("\"data\"", "\"date\"") == "file.json: expected SQuAD's JSON, found no list data");
    CHECK(error("\"qas\"", "\"qa\"") == "file.json: expected SQuAD's JSON, found no list qas");
    CHECK(error("\"question\"", "\"q\"") == "file.json: q1: no key question");
    CHECK(error("\"answers\": []", "\"answers\": [1]") == "file.json: q3: expected SQuAD's JSON, found 1 in answers");
    CHECK(files.error("squad", "", {}, "file.json") == "file.json: empty");
    CHECK(files.error("squad", "[]", {}, "file.json") == "file.json: expected SQuAD's JSON, found no list data");
    CHECK(files.error("squad", "{\"data\": []}", {}, "file.json") == "file.json: no examples");
    CHECK(files.error("squad", "{", {}, "file.json").starts_with("file.json: not JSON: "));
}

TEST_CASE("labels: found, as numbers or by bytes; given; as places") {
    Files files;
    ExampleFile numbers = files.read("single", "10\tx\n9\ty\n2\tz\n-3\tz\n9\tz\n");
    CHECK(labels_in({&numbers}) == Names{"-3", "2", "9", "10"});
    const ExampleFile words = files.read("single", "b\tx\n10\ty\n\xC3\xA9\tz\nB\tz\n");
    CHECK(labels_in({&words}) == Names{"10", "B", "b", "\xC3\xA9"});
    CHECK(labels_in({&numbers, &words}).size() == 8 - 1);
    const auto found = [&](const std::string& text) {
        const ExampleFile file = files.read("single", text);
        return labels_in({&file});
    };
    CHECK(found("True\tx\n0\ty\n") == Names{"0", "1"});
    CHECK(found("true\tx\nfalse\ty\n") == Names{"false", "true"});
    CHECK(found("0\tx\ntrue\ty\nmaybe\tz\n") == Names{"0", "maybe", "true"});
    CHECK(found("0\tx\n") == Names{"0"});
    index_labels(find_task("single"), {"9", "2", "10", "-3"}, numbers);
    CHECK(numbers.examples[0].classes == std::vector<int32_t>{2});
    CHECK(numbers.examples[4].classes == std::vector<int32_t>{0});
    CHECK(given_labels(find_task("pair"), {"b", "a"}) == Names{"b", "a"});
    const auto refused = [](const char* task, const Names& given) {
        return error_of([&] { given_labels(find_task(task), given); });
    };
    CHECK(refused("mrpc", {"0", "1"}) == "--labels: those of mrpc are 0, 1");
    CHECK(refused("stsb", {"0", "1"}) == "--labels: stsb has none");
    CHECK(refused("pair", {"a", "a"}) == "--labels a,a: expected different names");
    CHECK(refused("pair", {"a", ""}) == "--labels a,: expected different names");
}

TEST_CASE("labels: of the task, its user, the checkpoint, or the training file") {
    Files files;
    const ExampleFile training = files.read("single", "b\tx\na\ty\n");
    const Task &single = find_task("single"), &mrpc = find_task("mrpc");
    CHECK(choose_labels(mrpc, {}, {"x", "y"}, &training) == Names{"0", "1"});
    CHECK(choose_labels(find_task("stsb"), {}, {"x"}, &training).empty());
    CHECK(choose_labels(single, {"b", "a", "c"}, {"a", "b"}, &training) == Names{"b", "a", "c"});
    CHECK(choose_labels(single, {}, {"b", "c", "a"}, &training) == Names{"b", "c", "a"});
    CHECK(choose_labels(single, {}, {"b", "c"}, &training) == Names{"a", "b"});
    CHECK(choose_labels(single, {}, {"LABEL_0", "LABEL_1"}, &training) == Names{"a", "b"});
    CHECK(choose_labels(single, {}, {}, &training) == Names{"a", "b"});
    CHECK(choose_labels(single, {}, {"LABEL_0", "LABEL_1"}, nullptr) == Names{"LABEL_0", "LABEL_1"});
    CHECK(error_of([&] { choose_labels(single, {}, {}, nullptr); }) ==
          "the checkpoint names no labels: --labels A,B,… does");
}

TEST_CASE("labels: what is not in the list, where it stands") {
    Files files;
    const auto error = [&](const std::string& task, const std::string& text, const Names& labels) {
        ExampleFile file = files.read(task, text);
        const std::string message = error_of([&] { index_labels(find_task(task), labels, file); });
        return message.empty() ? message : message.substr(files.path("").string().size());
    };
    CHECK(error("cola", "1\tx\nTrue\ty\nfalse\tz\n", {"0", "1"}) == "");
    CHECK(error("cola", "1\tx\n2\ty\n", {"0", "1"}) == "file.tsv:2: unknown label 2; expected one of 0, 1");
    CHECK(error("single", "1\tx\ntrue\ty\n", {"1", "0"}) == "file.tsv:2: unknown label true; expected one of 1, 0");
    CHECK(error("token", "a O\nb O\nc X\n", {"O"}) == "file.tsv:3: unknown label X; expected one of O");
    CHECK(error("stsb", "1\tx\ty\n+2.5\tx\ty\n-1e2\tx\ty\n", {}) == "");
    for (const std::string bad : {"x", "", "nan", "inf", "1e999", "1 2", "++1", "0x1"})
        CHECK(error("stsb", "1\tx\ty\n" + bad + "\tx\ty\n", {}) ==
              "file.tsv:2: the label is \"" + bad + "\", expected a number");
    const std::string choices = "label\tpremise\tchoice1\tchoice2\n";
    CHECK(error("choice", choices + "1\tp\tx\ty\n", {}) == "");
    CHECK(error("choice", choices + "2\tp\tx\ty\n", {}) == "file.tsv:2: unknown label 2; expected 0 … 1");
}
