// docs/metrics.md against the lines that runs of each method write: no key too many, none too few. That of fp16 is
// checked in cuda_cli_test.
#include <doctest/doctest.h>

#include "model/methods/registry.h"
#include "tests/support/metrics_page.h"
#include "tests/support/pretrain_fixture.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

/// Data with sentences, two a document, and runs on them.
struct Runs {
    TemporaryFolder folder;
    fs::path data = folder / "data", out = folder / "run";

    Runs() {
        PhiloxStream random(1, 0);
        std::string text;
        for (int word = 0; word < 6000; ++word)
            text += fmt::format("w{}{}", random.below(50), word % 12 == 11 ? "\n\n" : word % 6 == 5 ? "\n" : " ");
        write_text(folder / "text.txt", text);
        succeed({"prepare", "--quiet", "--text", (folder / "text.txt").string(), "--out", data.string(),
                 "--train-vocab", "80", "--validation-fraction", "0.1", "--sentences", "line"});
    }

    /// Four steps, the second and fourth of ScTD with its terms, and an evaluation.
    void check(const Arguments& settings, const Keys& kinds) const {
        Arguments command = pretrain_arguments(data, out, 4) + Arguments{"--quiet"};
        for (const std::string& setting :
             Arguments{"model.layers=4", "log.every=1", "eval.every=4", "sctd.interval=2"} + settings)
            command = command + Arguments{"--set", setting};
        succeed(command);
        check_keys(out, kinds);
        fs::remove_all(out);
    }
};

}  // namespace

TEST_CASE("the page has the keys of each method's lines, and no others") {
    const Runs runs;
    for (const MethodEntry& method : methods()) {
        CAPTURE(std::string(method.name));
        runs.check({fmt::format("train.method={}", method.name)}, {method.name});
    }
}

TEST_CASE("the page has the keys of sentence pairs") {
    const Runs runs;
    for (const char* pairs : {"next_sentence", "sentence_order"})
        runs.check({fmt::format("data.pairs={}", pairs)}, {"dense", "pairs"});
}

TEST_CASE("a key of the page is in every line, or in those of runs that there are") {
    Keys kinds = {"every", "line", "pairs", "fp16"};
    for (const MethodEntry& method : methods()) kinds.insert(method.name);
    for (const char* section : {kTrainingLines, kEvaluationLines})
        for (const PageRow& row : rows_of_page("metrics.md", section, "key"))
            for (const std::string& word : words_of(row.at(5))) CHECK_MESSAGE(kinds.contains(word), row[0]);
}
