// `dropforge embed` against vectors that the test computes from the double reference's hidden states; what decides how
// a vector is made; odd inputs.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "model/network/bert.h"
#include "model/network/names.h"
#include "model/training/forward_pass.h"
#include "tests/support/changed_model.h"
#include "tests/support/cli_fixture.h"
#include "tests/support/shell.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

using Ids = std::vector<int32_t>;
using Vector = std::vector<double>;

constexpr int32_t kCls = 2, kSep = 3, kMask = 4;

/// A model of 4 layers of 64 and 40 positions, whose words are w5 … w1002: of that id.
struct SentenceModel : ChangedModel {
    fs::path text = folder / "text.txt", out = folder / "vectors.npy";

    SentenceModel() {
        std::string vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
        for (int id = 5; id < 1003; ++id) vocabulary += fmt::format("w{}\n", id);
        write_text(folder / "vocab.txt", vocabulary);
        write_text(folder / "tokenizer_config.json", R"({"do_lower_case": true})");
        write();
    }
    void write() const {
        write_config();
        write_file("model.safetensors", [](const std::string&) { return true; });
    }
    Arguments command(const Arguments& more = {}) const {
        return Arguments{"embed",    "--model", folder.path().string(), "--text", text.string(), "--out", out.string(),
                         "--device", "cpu"} +
               more;
    }
    /// What the command prints for that text.
    CommandResult run(const std::string& lines, const Arguments& more = {}) const {
        write_text(text, lines);
        CommandResult result = run_command(command(more) + Arguments{"--overwrite"});
        REQUIRE_MESSAGE(result.exit_code == 0, result.error);
        return result;
    }
    /// The last layer's rows for these ids, by the double reference.
    std::vector<Vector> last_layer(const Ids& ids) const {
        const Model model = load_model(folder.path());
        const BertConfig& c = model.parameters.config();
        const auto length = static_cast<int64_t>(ids.size());
        ForwardPass pass(model.parameters, hidden_states(model.parameters, {.batch = 1, .sequence = length}),
                         model.values.as<float>(), DType::f32, kernels::reference());
        pass.run({.sequences = 1, .length = length, .input_ids = ids});
        const auto all = pass.output<float>(names::hidden(c.layers));
        std::vector<Vector> rows;
        for (auto at = all.begin(); at != all.end(); at += c.hidden) rows.emplace_back(at, at + c.hidden);
        return rows;
    }
};

Vector mean(const std::vector<Vector>& rows) {
    Vector sum(rows[0].size());
    for (const Vector& row : rows)
        for (size_t i = 0; i < row.size(); ++i) sum[i] += row[i] / static_cast<double>(rows.size());
    return sum;
}

Vector normalized(Vector v) {
    double squares = 0;
    for (const double x : v) squares += x * x;
    for (double& x : v) x /= std::sqrt(squares);
    return v;
}

/// The rows of a .npy of 64 columns, read as NumPy's format says.
std::vector<Vector> read_npy(const fs::path& path) {
    const std::string bytes = read_text(path);
    REQUIRE(bytes.size() >= 128);
    CHECK(bytes.substr(0, 10) == std::string("\x93NUMPY\x01\x00\x76\x00", 10));
    const size_t rows = (bytes.size() - 128) / (64 * sizeof(float));
    const std::string shape = fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, 64), }}", rows);
    CHECK(bytes.substr(10, 118) == fmt::format("{:<117}\n", shape));
    std::vector<float> values(rows * 64);
    REQUIRE(bytes.size() == 128 + values.size() * sizeof(float));
    std::memcpy(values.data(), bytes.data() + 128, values.size() * sizeof(float));
    std::vector<Vector> vectors;
    for (auto at = values.begin(); at != values.end(); at += 64) vectors.emplace_back(at, at + 64);
    return vectors;
}

/// f32 rounding: the layers' outputs are about 1 by LayerNorm, and each of the 4 layers sums up to 256 products.
constexpr double kRounding = 4 * 256 * 0x1p-24;

void check_near(const std::vector<Vector>& got, const std::vector<Vector>& want, double limit = kRounding) {
    REQUIRE(got.size() == want.size());
    double error = 0;
    for (size_t i = 0; i < got.size(); ++i)
        for (size_t j = 0; j < got[i].size(); ++j) error = std::max(error, std::abs(got[i][j] - want[i][j]));
    CHECK(error <= limit);
}

}  // namespace

TEST_CASE("a vector for each line: the mean of the last layer over its tokens, or [CLS]") {
    const SentenceModel model;
    // An empty line, special tokens in the text, CR LF, white space, an unknown word, no line end at the last.
    const std::string text = "w10 w11 w12\n\nw7\r\n  w900 [MASK]\tw5 \nW6 zz\nw20 w21 w22 w23 w24 w25 w26 w27 w28";
    const std::vector<Ids> ids = {{kCls, 10, 11, 12, kSep}, {kCls, kSep},
                                  {kCls, 7, kSep},          {kCls, 900, kMask, 5, kSep},
                                  {kCls, 6, 1, kSep},       {kCls, 20, 21, 22, 23, 24, 25, 26, 27, 28, kSep}};
    std::vector<Vector> means, firsts, unit;
    for (const Ids& sentence : ids) {
        const std::vector<Vector> rows = model.last_layer(sentence);
        means.push_back(mean(rows));
        firsts.push_back(rows[0]);
        unit.push_back(normalized(means.back()));
    }
    const CommandResult result = model.run(text);
    check_near(read_npy(model.out), means);
    CHECK(contains(result.out, "vectors.npy  6 vectors of 64, the mean of all tokens; "));
    CHECK(result.error == "");
    model.run(text, {"--pool", "cls"});
    check_near(read_npy(model.out), firsts);
    const auto json = nlohmann::json::parse(model.run(text, {"--pool", "mean", "--normalize", "--json"}).out);
    check_near(read_npy(model.out), unit);
    CHECK(json["sentences"] == 6);
    CHECK(json["size"] == 64);
    CHECK(json["pooling"] == "mean");
    CHECK(json["normalized"] == true);
    CHECK(json["max_length"] == 40);
    CHECK(json["cut"] == 0);
    // Two roundings of every operation of a layer to 8 bits, ten operations in each of 4 layers.
    model.run(text, {"--precision", "bf16"});
    check_near(read_npy(model.out), means, 4 * 10 * 2 * 0x1p-9);
}

TEST_CASE("the bits of a vector do not depend on the batch, the threads or the other lines; heads are not used") {
    SentenceModel model;
    std::string text;
    for (int line = 0; line < 50; ++line) {
        for (int word = 0; word <= line * 7 % 30; ++word) text += fmt::format("w{} ", 5 + line * 31 % 900 + word);
        text += '\n';
    }
    model.run(text);
    const std::string vectors = read_text(model.out);
    for (const Arguments& other :
         {Arguments{"--batch", "1"}, Arguments{"--batch", "64"}, Arguments{"--threads", "1"}}) {
        model.run(text, other);
        CHECK(read_text(model.out) == vectors);
    }
    model.run(text.substr(0, text.find('\n', text.size() / 2) + 1));
    const std::string half = read_text(model.out);
    CHECK(vectors.substr(128, half.size() - 128) == half.substr(128));
    std::erase_if(model.tensors, [](const auto& entry) { return entry.first.starts_with("cls."); });
    model.write();
    model.run(text);
    CHECK(read_text(model.out) == vectors);
}

TEST_CASE("sentences that are too long are cut, counted, and [SEP] stays") {
    const SentenceModel model;
    const CommandResult result = model.run("w10 w11 w12 w13\nw10 w11\nw10 w11 w12\n", {"--max-length", "5"});
    const Vector three = mean(model.last_layer({kCls, 10, 11, 12, kSep}));
    check_near(read_npy(model.out), {three, mean(model.last_layer({kCls, 10, 11, kSep})), three});
    CHECK(result.error == "note: 1 of 3 sentences have more than 5 tokens and were cut\n");
    CHECK(model.run("w10 w11 w12 w13", {"--max-length", "5", "--quiet"}).error == "");
}

TEST_CASE("a text from standard input") {
    const SentenceModel model;
    const std::string command =
        fmt::format("printf 'w10\\nw11\\n' | {}/dropforge embed --model {} --text - --out {} --device cpu", kPrograms,
                    model.folder.path().string(), model.out.string());
    const Outcome outcome = run_shell(command);
    CHECK_MESSAGE(outcome.exit_code == 0, outcome.text);
    check_near(read_npy(model.out),
               {mean(model.last_layer({kCls, 10, kSep})), mean(model.last_layer({kCls, 11, kSep}))});
}

TEST_CASE("the files of sentence-transformers say how vectors are made") {
    const SentenceModel model;
    const auto write = [&](const char* name, const std::string& text) { write_text(model.folder / name, text); };
    const auto modules = [&](const std::string& more) {
        write(
            "modules.json",
            R"([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"})" + more + "]");
    };
    const std::string pooling = R"(, {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"})";
    const Vector first = model.last_layer({kCls, 10, kSep})[0];
    fs::create_directory(model.folder / "1_Pooling");
    write("1_Pooling/config.json", R"({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false})");
    modules(pooling + R"(, {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"})");
    write("sentence_bert_config.json", R"({"max_seq_length": 4, "do_lower_case": true})");
    write("config_sentence_transformers.json", R"({"prompts": {"query": "find: "}, "default_prompt_name": "query"})");
    const CommandResult result = model.run("w10\nw10 w11 w12\n");
    check_near(read_npy(model.out), {normalized(first), normalized(model.last_layer({kCls, 10, 11, kSep})[0])});
    CHECK(contains(result.out, "[CLS], normalised; "));
    CHECK(contains(result.error, "sentence-transformers puts \"find: \" before each sentence, which is not done here"));
    CHECK(contains(result.error, "note: 1 of 2 sentences have more than 4 tokens and were cut\n"));
    model.run("w10", {"--pool", "cls"});
    check_near(read_npy(model.out), {first});  // with --pool, modules.json is not read

    write("1_Pooling/config.json", R"({"embedding_dimension": 64, "pooling_mode": "mean"})");  // newer versions
    modules(pooling);
    model.run("w10");
    check_near(read_npy(model.out), {mean(model.last_layer({kCls, 10, kSep}))});

    const auto refused = [&](const char* part) { check_refused(model.command({"--overwrite"}), 1, {part}); };
    write("1_Pooling/config.json", R"({"pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": true})");
    refused("1_Pooling/config.json: the pooling is \"max_tokens, mean_tokens\", not one of mean and cls");
    modules(R"(, {"path": "2_Dense", "type": "sentence_transformers.models.Dense"})");
    refused("modules.json: entries[1]: a module Dense, which is not computed here; with --pool no module is read");
    modules(R"(, {"path": "../x", "type": "sentence_transformers.models.Pooling"})");
    refused("modules.json: entries[1]: path is \"../x\", not the name of a folder");
    write("modules.json", R"([{"path": "0_BERT", "type": "sentence_transformers.models.Transformer"}])");
    refused("modules.json: entries[0]: the model is in the folder \"0_BERT\": --model takes that");
    write("modules.json", R"({"path": ""})");
    refused("modules.json: entries must be a list of objects");
    fs::remove(model.folder / "modules.json");
    write("sentence_bert_config.json", R"({"max_seq_length": 2})");
    refused("sentence_bert_config.json: max_seq_length is 2, where [CLS], a token and [SEP] need 3");
    write("sentence_bert_config.json", R"({"do_lower_case": true})");
    write("tokenizer_config.json", R"({"do_lower_case": false})");
    refused("sentence_bert_config.json says do_lower_case, but the tokenizer keeps upper case");
    write("sentence_bert_config.json", "{}");
    write("tokenizer_config.json", R"({"truncation_side": "left"})");
    refused("tokenizer_config.json: truncation_side must be \"right\", not \"left\"");
    write("tokenizer_config.json", R"({"model_max_length": 3})");
    CHECK(contains(model.run("w10 w11").error, "more than 3 tokens"));
    write("tokenizer_config.json", R"({"model_max_length": 1000000000000000019884624838656})");
    CHECK(!contains(model.run("w10 w11").error, "were cut"));
}

TEST_CASE("what embed refuses, and what it leaves as it was") {
    SentenceModel model;
    const std::string text = model.text.string(), out = model.out.string();
    check_refused(model.command(), 1, {text + ": cannot open: No such file or directory"});
    write_text(model.text, "");
    check_refused(model.command(), 1, {text + ": empty"});
    CHECK(!fs::exists(model.out));
    write_text(model.text, "w10\n");
    check_refused(model.command({"--max-length", "41"}), 1, {"--max-length 41: the model has 40 positions"});
    check_refused(model.command({"--max-length", "2"}), 2, {"--max-length: expected a whole number from 3"});
    check_refused(model.command({"--pool", "max"}), 2, {"--pool"});
    check_refused(model.command({"--precision", "fp16"}), 1, {"fp16"});
    check_refused(
        {"embed", "--model", model.folder.path().string(), "--text", model.folder.path().string(), "--out", out}, 1,
        {": cannot read: Is a directory"});
    check_refused({"embed", "--model", model.folder.path().string(), "--text", text, "--out", out + "/no/folder"}, 1,
                  {"/no/folder"});

    write_text(model.out, "kept");
    check_refused(model.command(), 1, {out + ": is there already; --overwrite replaces it"});
    fs::rename(model.folder / "vocab.txt", model.folder / "other.txt");
    check_refused(model.command({"--overwrite"}), 1, {": neither vocab.txt nor tokenizer.json"});
    fs::rename(model.folder / "other.txt", model.folder / "vocab.txt");
    const std::string gain = "bert.encoder.layer.3.output.LayerNorm.weight";
    ChangedModel::Values& gains = model.tensors.at(gain).values;
    gains.assign(gains.size(), 3e38f);
    model.write();
    check_refused(model.command({"--overwrite"}), 1, {text + ": the vector of line 1 is not finite in f32"});
    gains.assign(gains.size(), std::nanf(""));
    model.write();
    check_refused(model.command({"--overwrite"}), 1, {gain});
    CHECK(read_text(model.out) == "kept");
    for (const auto& file : files_below(model.folder.path())) CHECK(!contains(file.first, ".tmp"));
}
