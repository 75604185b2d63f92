// prepare with a vocabulary that does not fit the text: an error, or a note, with the likely cause.
#include <doctest/doctest.h>

#include "tests/support/corpus_fixture.h"
#include "tests/support/data_fixture.h"

using namespace dropforge;
using namespace dropforge::data;
using namespace dropforge::test;

namespace {

constexpr const char* kSpecialTokens = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";

struct Trial {
    Corpus corpus{1};

    Trial(const std::string& text, const std::string& tokens, bool cased) {
        write_text(corpus.folder / "text.txt", text);
        write_text(corpus.folder / "vocab.txt", kSpecialTokens + tokens);
        corpus.options.text = {corpus.folder / "text.txt"};
        corpus.options.normalization = cased ? kCased : kUncased;
        corpus.options.validation_fraction = 0;
    }
    std::string note() const {
        const PrepareResult result = prepare(corpus.options);
        return result.notes.empty() ? "" : result.notes.front();
    }
    std::string refusal() const {
        const std::string error = error_of([&] { prepare(corpus.options); });
        CHECK(!fs::exists(corpus.options.out));
        return error;
    }
};

}  // namespace

TEST_CASE("not one word known: refused, and nothing is left") {
    CHECK(Trial("\xD1\x80\xD0\xB5\xD0\xBA\xD0\xB0 \xD0\xB8 \xD1\x80\xD0\xB5\xD0\xBA\xD0\xB0", "a\nriver\n", false)
              .refusal() ==
          "all of the 3 tokens are [UNK]: the most frequent: \xD1\x80\xD0\xB5\xD0\xBA\xD0\xB0 \xD0\xB8; the "
          "vocabulary lacks "
          "characters of theirs (\xD0\xB0 \xD0\xB5 \xD0\xBA \xD1\x80 \xD0\xB8): is it one for another language?");
    CHECK(
        contains(Trial("The River", "the\nriver\n", true).refusal(),
                 "all of the 2 tokens are [UNK]: the most frequent: River The; without --cased it would be 0.0 %: the "
                 "vocabulary is uncased"));
    CHECK(contains(Trial("the river", "The\nRiver\n", false).refusal(), "lacks characters of theirs"));
    CHECK(contains(Trial("THE RIVER", "THE\nRIVER\n", false).refusal(),
                   "with --cased it would be 0.0 %: the vocabulary is cased"));
    CHECK(contains(Trial(std::string(200, 'x'), "the\n", false).refusal(), "most are longer than 100 characters"));
    CHECK(contains(Trial("ab ba", "a\nb\n", false).refusal(), "no pieces that they could be put together of"));
}

TEST_CASE("more than one in twenty is noted, less is not") {
    std::string text;
    for (int i = 0; i < 95; ++i) text += "river ";
    CHECK(Trial(text + "x y z x x", "river\n", false).note() == "");
    CHECK(contains(Trial(text + "x y z x x x", "river\n", false).note(),
                   "5.9 % of the tokens are [UNK]: the most frequent: x y z; the vocabulary lacks characters"));
}
