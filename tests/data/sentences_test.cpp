// Sentences: where they end, and what `prepare` stores of it.
#include "data/text/sentences.h"

#include <doctest/doctest.h>

#include "data/shards/dataset.h"
#include "tests/support/corpus_fixture.h"
#include "tests/support/data_fixture.h"

using namespace dropforge;
using namespace dropforge::data;
using namespace dropforge::test;

namespace {

/// The sentences of a text, "|" between them.
std::string cut(const std::string& text, SentenceBreak how) {
    std::vector<SentencePart> parts;
    split_sentences(text, how, parts);
    std::string joined, all;
    for (const SentencePart& part : parts) {
        all += part.text;
        joined += std::string(part.text) + (part.ends ? "|" : "");
    }
    CHECK(all == text);
    return joined;
}

}  // namespace

TEST_CASE("lines") {
    CHECK(cut("one\ntwo. Three\nfour", SentenceBreak::line) == "one\n|two. Three\n|four");
    CHECK(cut("", SentenceBreak::line) == "");
}

TEST_CASE("punctuation") {
    const auto check = [](const std::string& text, const std::string& expected) {
        CHECK(cut(text, SentenceBreak::punctuation) == expected);
    };
    check("It rains. Does it? Yes! So", "It rains. |Does it? |Yes! |So");
    check("wrapped\nline. Next\none", "wrapped\nline. |Next\none");
    check("a title\n\nA paragraph", "a title\n\n|A paragraph");
    check("3.5 of 7, e.g. this one... and that… But", "3.5 of 7, e.g. this one... and that… |But");
    check("\"Go!\" he said. (So he went.) Then", "\"Go!\" he said. |(So he went.) |Then");
    check("Mr. Smith, St. Ives, J. R. Tolkien and I. He", "Mr. Smith, St. Ives, J. R. Tolkien and I. |He");
    check("好。是吗？「对！」走", "好。|是吗？|「对！」|走");
    check("the end. ", "the end. |");
    check("the end.", "the end.");
    check("....", "....");
    check("\n\n\n\n", "\n\n\n\n|");
}

TEST_CASE("prepare stores where sentences begin, whatever the pieces and shards, and nothing without the option") {
    TemporaryFolder folder;
    // Three megabytes: pieces end in the middle of lines. Every 50 lines a document.
    std::string text;
    PhiloxStream random(5, 0);
    std::vector<uint64_t> expected;  // words of each line
    for (int line = 0; text.size() < 3000000; ++line) {
        expected.push_back(1 + random.below(20));
        for (uint64_t w = 0; w < expected.back(); ++w) text += w == 0 ? "iron" : " hill";
        text += line % 50 == 49 ? "\n\n" : "\n";
    }
    write_text(folder / "text.txt", text);
    write_text(folder / "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\niron\nhill\n");
    PrepareOptions options;
    options.text = {folder / "text.txt"};
    options.vocabulary = folder / "vocab.txt";
    options.validation_fraction = 0;
    options.shard_tokens = 10007;
    options.quiet = true;
    options.out = folder / "plain";
    prepare(options);
    options.out = folder / "data";
    options.sentences = SentenceBreak::line;
    options.threads = 2;
    CHECK(prepare(options).receipt.sentences->train == expected.size());

    options.out = folder / "by one thread";
    options.threads = 1;
    prepare(options);
    CHECK(contents(folder / "data") == contents(options.out));

    const Dataset dataset(folder / "data", Split::train), plain(folder / "plain", Split::train);
    CHECK(!plain.has_sentences());
    CHECK(!Receipt::load(folder / "plain").sentences.has_value());
    CHECK(Shard(folder / "plain/train-00000.shard").header().version == 1);
    REQUIRE(plain.stream_length() == dataset.stream_length());
    std::vector<uint64_t> found, starts;
    for (uint64_t d = 0; d < dataset.documents(); ++d) {
        dataset.sentences(d, starts);
        CHECK(starts.back() == dataset.document_end(d));
        for (size_t i = 1; i < starts.size(); ++i) found.push_back(starts[i] - starts[i - 1]);
    }
    CHECK(found == expected);
    dataset.verify();
    CHECK(contains(error_of([&] {
                       prepare(options);
                       options.sentences = SentenceBreak::punctuation;
                       prepare(options);
                   }),
                   "sentences"));
}
