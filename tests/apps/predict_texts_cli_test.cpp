// The command `dropforge predict`: what it says of texts is what `evaluate --task` predicts for the same with labels,
// whatever the batch and the threads; one line for what is wrong with a model or a text.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/support/finetuned_model.h"
#include "tests/support/golden_task.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

using Lines = std::vector<std::string>;
using Json = nlohmann::ordered_json;

constexpr const char* kSequence = "BertForSequenceClassification";

Lines lines_of(const std::string& text) {
    Lines lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
}

Lines fields_of(const std::string& line, char separator = '\t') {
    Lines fields;
    std::istringstream stream(line);
    for (std::string field; std::getline(stream, field, separator);) fields.push_back(field);
    return fields;
}

/// The probabilities of each row of logits that `evaluate` wrote.
std::vector<std::vector<double>> probabilities_in(const fs::path& evaluated) {
    const SafetensorsFile file(evaluated / "eval.safetensors");
    const auto logits = tensor<float>(file, "logits");
    const auto columns = static_cast<size_t>(file.info("logits").shape[1]);
    std::vector<std::vector<double>> rows;
    for (size_t at = 0; at < logits.size(); at += columns) {
        std::vector<double>& row = rows.emplace_back();
        double sum = 0;
        for (size_t c = 0; c < columns; ++c) sum += row.emplace_back(std::exp(static_cast<double>(logits[at + c])));
        for (double& p : row) p /= sum;
    }
    return rows;
}

/// The second column of predictions.tsv.
Lines predictions_in(const fs::path& evaluated) {
    Lines predictions;
    for (const std::string& line : lines_of(read_text(evaluated / "predictions.tsv")))
        predictions.push_back(fields_of(line)[1]);
    predictions.erase(predictions.begin());
    return predictions;
}

/// Checks a table against the predictions of `evaluate`, and that these are not all the same.
void check_table(const std::string& printed, const std::string& header, const fs::path& evaluated) {
    const Lines lines = lines_of(printed), predictions = predictions_in(evaluated);
    const auto probabilities = probabilities_in(evaluated);
    REQUIRE(lines.size() == predictions.size() + 1);
    CHECK(lines[0] == header);
    CHECK(std::ranges::adjacent_find(predictions, std::ranges::not_equal_to()) != predictions.end());
    for (size_t i = 0; i < predictions.size(); ++i) {
        const Lines fields = fields_of(lines[i + 1]);
        CHECK(fields[0] == predictions[i]);
        REQUIRE(fields.size() == probabilities[i].size() + 1);
        for (size_t c = 0; c < probabilities[i].size(); ++c)  // six digits
            CHECK(std::abs(std::stod(fields[c + 1]) - probabilities[i][c]) <= 0.5e-5 * probabilities[i][c]);
    }
}

/// `texts` as a file with a label before each.
std::string labelled(const Lines& texts, const std::string& header, const std::string& label) {
    std::string file = header + "\n";
    for (const std::string& text : texts) file += fmt::format("{}\t{}\n", label, text);
    return file;
}

std::string joined_lines(const Lines& lines) { return fmt::format("{}\n", fmt::join(lines, "\n")); }

/// Two texts with a tab between each, of which some are too long together.
Lines pairs(FineTunedModel& model, size_t count) {
    Lines both = model.texts(count, 24);
    for (std::string& line : both) line += '\t' + model.text(24);
    return both;
}

const std::string kQuestions = (fs::path(kTestData) / "finetune/squad2/eval.json").string();
const Arguments kWindows = {"--set", "data.max_length=26", "--set", "data.doc_stride=10"};

}  // namespace

TEST_CASE("one text, two texts, choices: predictions and probabilities of evaluate") {
    const Lines labels = {"no", "yes", "may be"};
    FineTunedModel classes(kSequence, 3, labels);
    const std::string header = "prediction\tno\tyes\tmay be";
    const Lines single = classes.texts(50, 50), two = pairs(classes, 50);
    check_table(succeed(classes.predict(classes.write_text_file("text", joined_lines(single)))).out, header,
                classes.evaluated("single", classes.write_text_file("a.tsv", labelled(single, "label\ta", "no"))));
    check_table(succeed(classes.predict(classes.write_text_file("text", joined_lines(two)))).out, header,
                classes.evaluated("pair", classes.write_text_file("b.tsv", labelled(two, "label\ta\tb", "yes"))));
    FineTunedModel choice("BertForMultipleChoice", 1);
    Lines three = pairs(choice, 30);
    for (std::string& line : three) line += '\t' + choice.text(9);
    const std::string with_labels =
        choice.write_text_file("c.tsv", labelled(three, "label\tpremise\tchoice1\tchoice2", "0"));
    check_table(succeed(choice.predict(choice.write_text_file("text", joined_lines(three)))).out, "prediction\t0\t1",
                choice.evaluated("choice", with_labels));
}

TEST_CASE("numbers: those of evaluate, to the last digit; one logit without problem_type is a number") {
    FineTunedModel model(kSequence, 1);
    const Lines two = pairs(model, 20);
    const std::string text = model.write_text_file("text", joined_lines(two));
    const Lines lines = lines_of(succeed(model.predict(text)).out);
    const Lines predicted = predictions_in(
        model.evaluated("regression", model.write_text_file("a.tsv", labelled(two, "score\ta\tb", "1"))));
    CHECK(lines[0] == "prediction");
    CHECK(Lines(lines.begin() + 1, lines.end()) == predicted);
    model.config["problem_type"] = "regression";
    model.write();
    CHECK(lines_of(succeed(model.predict(text)).out) == lines);
    CHECK(lines_of(succeed(model.predict(text) + Arguments{"--json"}).out)[0] ==
          fmt::format("{{\"prediction\":{}}}", predicted[0]));
}

TEST_CASE("words: the labels of evaluate, in lines that score reads; O where a word has no piece") {
    FineTunedModel model("BertForTokenClassification", 3, {"B-x", "O", "I-x"});
    Lines sentences = model.texts(20, 60);
    sentences[3] += " \u200e";  // nothing but a character that the tokenizer removes
    std::string conll;
    for (const std::string& sentence : sentences) {
        for (const std::string& word : fields_of(sentence, ' ')) conll += word + " O\n";
        conll += "\n";
    }
    const std::string gold = model.write_text_file("gold.conll", conll);
    const CommandResult result = succeed(model.predict(model.write_text_file("text", joined_lines(sentences))));
    const fs::path evaluated = model.evaluated("token", gold);
    const Lines lines = lines_of(result.out), expected = lines_of(read_text(evaluated / "predictions.conll"));
    const auto probabilities = probabilities_in(evaluated);
    REQUIRE(lines.size() == expected.size());
    size_t row = 0, without = 0;
    for (size_t i = 0; i < lines.size(); ++i) {
        const Lines got = fields_of(lines[i], ' '), wanted = fields_of(expected[i], ' ');
        REQUIRE(got.size() == wanted.size());
        if (got.empty()) continue;
        CHECK(got[0] == wanted[0]);
        CHECK(got[2] == wanted[2]);
        if (got[1] == "-") {
            CHECK(got[2] == "O");
            ++without;
            continue;
        }
        const double largest = std::ranges::max(probabilities[row++]);
        CHECK(std::abs(std::stod(got[1]) - largest) <= 0.5e-5 * largest);
    }
    CHECK(row == probabilities.size());
    CHECK(without > 1);
    const std::string predicted = model.write_text_file("predicted.conll", result.out);
    succeed({"score", "--task", "token", "--predictions", predicted, "--eval", gold, "--labels", "B-x,I-x,O"});
}

TEST_CASE("questions: the files of evaluate; a text without answers") {
    const FineTunedModel model("BertForQuestionAnswering", 2);
    const Json odds = Json::parse(read_text(model.evaluated("squad2", kQuestions, kWindows) / "null_odds.json"));
    std::vector<double> sorted;
    for (const Json& value : odds) sorted.push_back(value);
    std::ranges::sort(sorted);
    const std::string median = fmt::format("{}", sorted[sorted.size() / 2]);
    const fs::path evaluated =
        model.evaluated("squad2", kQuestions, kWindows + Arguments{"--set", "eval.null_threshold=" + median});
    const std::string any = succeed(model.predict(kQuestions) + kWindows).out;
    CHECK(any == read_text(evaluated / "answers.json"));
    const std::string some =
        succeed(model.predict(kQuestions) + kWindows + Arguments{"--null-threshold=" + median}).out;
    CHECK(some == read_text(evaluated / "predictions.json"));
    CHECK(some != any);
    auto questions = nlohmann::json::parse(read_text(kQuestions));
    for (auto& article : questions["data"])
        for (auto& paragraph : article["paragraphs"])
            for (auto& question : paragraph["qas"]) {
                question.erase("answers");
                question.erase("is_impossible");
            }
    const std::string bare = model.write_text_file("bare.json", questions.dump());
    CHECK(succeed(model.predict(bare) + kWindows).out == any);
    const Lines lines = lines_of(succeed(model.predict(bare) + kWindows + Arguments{"--json"}).out);
    const Json answers = Json::parse(any);
    REQUIRE(lines.size() == odds.size());
    for (const std::string& line : lines) {
        const Json object = Json::parse(line);
        const std::string id = object.at("id");
        CHECK(object == Json({{"id", id}, {"prediction", answers.at(id)}, {"null_odds", odds.at(id)}}));
    }
}

TEST_CASE("the same bits for other batches and threads, in a file, and from standard input") {
    FineTunedModel model(kSequence, 3);
    const std::string text = model.write_text_file("text", joined_lines(model.texts(40, 50)));
    const std::string expected = succeed(model.predict(text) + Arguments{"--json"}).out;
    CHECK(lines_of(expected).size() == 40);
    for (const Arguments& more : {Arguments{"--batch", "1"}, {"--batch", "7"}, {"--threads", "1"}, {"--threads", "3"}})
        CHECK(succeed(model.predict(text) + Arguments{"--json"} + more).out == expected);
    const fs::path out = model.folder / "out.jsonl";
    CHECK(succeed(model.predict(text) + Arguments{"--json", "--out", out.string()}).out.empty());
    CHECK(read_text(out) == expected);
    check_refused(model.predict(text) + Arguments{"--out", out.string()}, 1, {"out.jsonl is there already"});
    CHECK(read_text(out) == expected);
    const std::string command = fmt::format("cat {} | {}/dropforge {} --json > {}/piped", text, kPrograms,
                                            fmt::join(Lines(model.predict("-")), " "), model.folder.path().string());
    REQUIRE(std::system(command.c_str()) == 0);
    CHECK(read_text(model.folder / "piped") == expected);
}

TEST_CASE("JSON lines of classes and words; labels without names") {
    const FineTunedModel model(kSequence, 2);
    const std::string text = model.write_text_file("text",
                                                   "\xEF\xBB\xBF"
                                                   "a b\r\n\r\na");
    const Lines table = lines_of(succeed(model.predict(text)).out);
    REQUIRE(table.size() == 4);  // the empty line is a text too
    CHECK(table[0] == "prediction\tLABEL_0\tLABEL_1");
    const Json object = Json::parse(lines_of(succeed(model.predict(text) + Arguments{"--json"}).out)[1]);
    const double first = object.at("probabilities").at("LABEL_0"), second = object.at("probabilities").at("LABEL_1");
    CHECK(std::abs(first + second - 1) <= 0x1p-52);
    CHECK(object.at("prediction") == (first >= second ? "LABEL_0" : "LABEL_1"));
    CHECK(table[2] == fmt::format("{}\t{:.6g}\t{:.6g}", object.at("prediction").get<std::string>(), first, second));

    const FineTunedModel tags("BertForTokenClassification", 2, {"O", "B-x"});
    const std::string words = tags.write_text_file("text", "a\u3000 \u200e\n\nb\n");
    const Lines lines = lines_of(succeed(tags.predict(words) + Arguments{"--json"}).out);
    REQUIRE(lines.size() == 3);
    const Json sentence = Json::parse(lines[0]);
    CHECK(sentence.at("words") == Json({"a", "\u200e"}));
    CHECK(sentence.at("predictions")[1] == "O");
    CHECK(sentence.at("probabilities")[0].get<double>() >= 0.5);
    CHECK(sentence.at("probabilities")[1].is_null());
    CHECK(lines[1] == R"({"words":[],"predictions":[],"probabilities":[]})");
}

TEST_CASE("texts that are cut are counted, once") {
    FineTunedModel model(kSequence, 2);
    const std::string text = model.write_text_file("text", "a b c d\na\na b c d e\n");
    Arguments command = model.predict(text) + Arguments{"--max-length", "5"};
    CHECK(succeed(command).error.empty());
    std::erase(command, "--quiet");
    const std::string notes = succeed(command).error;
    CHECK(contains(notes, "text: 2 of 3 examples are longer than 5 pieces and were cut\n"));
    CHECK(notes.find("were cut") == notes.rfind("were cut"));
}

TEST_CASE("texts that are refused, in one line") {
    const FineTunedModel classes(kSequence, 2), choice("BertForMultipleChoice", 1),
        spans("BertForQuestionAnswering", 2);
    const auto refuse = [](const FineTunedModel& model, const std::string& text,
                           std::initializer_list<std::string> parts) {
        check_refused(model.predict(model.write_text_file("text", text)), 1, parts);
    };
    refuse(classes, "", {"text: empty"});
    refuse(classes, "a\tb\tc\n", {"text:1: 3 columns, expected a text, or two with a tab between"});
    refuse(classes, "a\nb\tc\n", {"text:2: 2 columns, expected 1 as in the first line"});
    refuse(classes, "a\tb\n\n", {"text:2: 1 columns, expected 2 as in the first line"});
    refuse(choice, "a\tb\n", {"text:1: 2 columns, expected a text and two choices or more, with tabs between"});
    refuse(choice, "a\tb\tc\na\tb\tc\td\n", {"text:2: 4 columns, expected 3 as in the first line"});
    refuse(spans, "who?\n", {"text: not JSON"});
    refuse(spans, R"({"data": []})", {"text: no question"});
    check_refused(spans.predict(kQuestions), 1, {"data.doc_stride = 128, but a window has room for"});
    check_refused(classes.predict("missing.txt"), 1, {"missing.txt: cannot open: No such file"});
    check_refused({"predict", "--model", "x"}, 2, {"--text is required"});
    check_refused(classes.predict(kQuestions) + Arguments{"--batch", "0"}, 1, {"eval.batch", "--batch"});
}

TEST_CASE("models that are refused: no head, another number of labels, several labels a text, NaN") {
    const auto refuse = [](FineTunedModel& model, std::initializer_list<std::string> parts) {
        model.write();
        check_refused(model.predict(model.write_text_file("text", "a\n")), 1, parts);
    };
    FineTunedModel model(kSequence, 2);
    model.config["architectures"] = {"BertForMaskedLM"};
    refuse(model, {"config.json: no head for a task: architectures has BertForMaskedLM, expected "});
    model.config.erase("architectures");
    refuse(model, {"architectures has no name"});
    model.config["architectures"] = {kSequence};
    model.config["problem_type"] = "multi_label_classification";
    refuse(model, {"problem_type is multi_label_classification, expected single_label_classification or regression"});
    model.config["problem_type"] = "regression";
    refuse(model, {"problem_type is regression, but the head has 2 logits, expected one"});
    model.config.erase("problem_type");
    model.config["id2label"] = {{"0", "a"}, {"1", "b"}, {"2", "c"}};
    refuse(model, {"id2label has 3 labels, but the head has 2"});
    model.config.erase("id2label");
    model.tensors["classifier.bias"].values[1] = NAN;
    refuse(model, {"tensor classifier.bias: 1 of 2 elements are NaN"});
    model.tensors.erase("classifier.bias");
    refuse(model, {"the tensor classifier.bias is missing or has another shape"});
    model.tensors.erase("classifier.weight");
    refuse(model, {"no head of BertForSequenceClassification: the tensor classifier.weight is missing"});
    check_refused({"predict", "--model", (model.folder / "none").string(), "--text", "-"}, 1,
                  {"none/config.json: No such file"});
}
