// prepare: the same folder whatever the threads, and a receipt that adds up.
// label: threads
#include "data/prepare/prepare.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "data/prepare/document_sink.h"
#include "data/prepare/pipeline.h"
#include "data/shards/dataset.h"
#include "data/shards/split_writer.h"
#include "tests/support/corpus_fixture.h"
#include "tests/support/data_fixture.h"

using namespace dropforge;
using namespace dropforge::data;
using namespace dropforge::test;

namespace {

std::vector<int32_t> stream_of(const Dataset& dataset) {
    std::vector<int32_t> ids(dataset.stream_length());
    dataset.read(0, ids, {});
    return ids;
}

}  // namespace

TEST_CASE("a pipeline keeps the order, whoever is slow, and passes on the error of each stage") {
    struct Slot {
        uint64_t number = 0, square = 0;
    };
    const auto run = [](int workers, int failing_stage) {
        uint64_t made = 0;
        std::vector<uint64_t> seen;
        run_pipeline<Slot>(
            workers,
            [&](Slot& slot) {
                require(failing_stage != 1 || made < 50, "reader failed");
                slot.number = made;
                return made++ < 500;
            },
            [&] {
                return [&](Slot& slot) {
                    require(failing_stage != 2 || slot.number != 50, "worker failed");
                    if (slot.number % 7 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
                    slot.square = slot.number * slot.number;
                };
            },
            [&](Slot& slot) {
                require(failing_stage != 3 || slot.number != 50, "consumer failed");
                seen.push_back(slot.square);
            });
        return seen;
    };
    for (const int workers : {1, 2, 5}) {
        const std::vector<uint64_t> seen = run(workers, 0);
        REQUIRE(seen.size() == 500);
        for (uint64_t i = 0; i < 500; ++i) CHECK(seen[i] == i * i);
        CHECK(error_of([&] { run(workers, 1); }) == "reader failed");
        CHECK(error_of([&] { run(workers, 2); }) == "worker failed");
        CHECK(error_of([&] { run(workers, 3); }) == "consumer failed");
    }
}

TEST_CASE("the folder is the same, byte for byte, for any number of threads; the stream is for any shard size") {
    Corpus corpus;
    corpus.options.shard_tokens = 3000;
    corpus.options.threads = 1;
    prepare(corpus.options);
    const auto expected = contents(corpus.options.out);
    CHECK(expected.size() > 5);
    CHECK(!expected.contains("prepare.lock"));
    const std::vector<int32_t> train = stream_of(Dataset(corpus.options.out, Split::train));
    const std::vector<int32_t> validation = stream_of(Dataset(corpus.options.out, Split::validation));
    CHECK(!validation.empty());
    for (const int threads : {2, 7}) {
        corpus.options.out = corpus.folder / fmt::format("threads{}", threads);
        corpus.options.threads = threads;
        prepare(corpus.options);
        CHECK(contents(corpus.options.out) == expected);
    }
    for (const uint64_t shard_tokens : {uint64_t{997}, uint64_t{1} << 20}) {
        corpus.options.out = corpus.folder / fmt::format("shards{}", shard_tokens);
        corpus.options.shard_tokens = shard_tokens;
        prepare(corpus.options);
        CHECK(stream_of(Dataset(corpus.options.out, Split::train)) == train);
        CHECK(stream_of(Dataset(corpus.options.out, Split::validation)) == validation);
    }
}

TEST_CASE("the receipt counts everything, and adds up to the token with drops") {
    Corpus corpus;
    corpus.options.min_document_tokens = 20;
    corpus.options.shard_tokens = 2000;
    const Receipt receipt = prepare(corpus.options).receipt;
    // The same again, the simple way.
    const Vocabulary vocabulary = Vocabulary::load(*corpus.options.vocabulary);
    WordPiece tokenizer(vocabulary, kUncased);
    std::vector<std::string> documents;
    for (const char* name : {"text/a.txt", "text/more/b.txt"}) {
        std::string text = read_text(corpus.folder / name);
        for (size_t end; (end = text.find("\n\n")) != std::string::npos; text.erase(0, end + 2))
            documents.push_back(text.substr(0, end));
        if (!text.empty()) documents.push_back(text);
    }
    documents.insert(documents.begin() + 400, "the iron hill zzz");  // c.html comes second
    uint64_t tokens = 0, words = 0, unknown = 0, short_tokens = 0, short_documents = 0;
    std::map<int32_t, double> counts;
    std::vector<int32_t> train, validation;
    for (size_t d = 0; d < documents.size(); ++d) {
        std::vector<int32_t> ids;
        std::vector<uint8_t> starts;
        tokenizer.encode(documents[d], ids, &starts);
        tokens += ids.size();
        words += static_cast<uint64_t>(std::ranges::count(starts, 1));
        unknown += static_cast<uint64_t>(std::ranges::count(ids, vocabulary.special().unk));
        if (ids.size() < 20) {
            ++short_documents;
            short_tokens += ids.size();
            continue;
        }
        const bool held_out = in_validation(d, 0.1, 0);
        std::vector<int32_t>& split = held_out ? validation : train;
        split.insert(split.end(), ids.begin(), ids.end());
        split.push_back(Dataset::kSeparator);
        for (const int32_t id : ids) {
            if (!held_out && id != vocabulary.special().unk) ++counts[id];
        }
    }
    CHECK(receipt.files == 3);
    CHECK(receipt.invalid_bytes == 3);
    CHECK(receipt.documents == documents.size());
    CHECK(receipt.tokens == tokens);
    CHECK(receipt.words == words);
    CHECK(receipt.unknown_tokens == unknown);
    CHECK(receipt.drops[0] == Drop{short_documents, short_tokens});
    CHECK(short_documents > 10);
    CHECK(stream_of(Dataset(corpus.options.out, Split::train)) == train);
    CHECK(stream_of(Dataset(corpus.options.out, Split::validation)) == validation);
    CHECK(receipt.shard_tokens(Split::train) + receipt.shard_tokens(Split::validation) + short_tokens == tokens);
    double total = 0, entropy = 0, top = 0;
    for (const auto& [id, count] : counts) total += count;
    for (const auto& [id, count] : counts) {
        entropy -= count / total * std::log(count / total);
        top = std::max(top, count / total);
    }
    CHECK(!(std::abs(receipt.unigram_entropy - entropy) > 1e-12 * entropy));
    CHECK(receipt.top_token_share == top);
    // The shards' own headers tell the same; what is dropped after a split's last token has no shard to be told in.
    uint64_t in_headers = 0;
    for (const Split split : {Split::train, Split::validation}) {
        for (const ShardEntry& entry : receipt.shards(split))
            in_headers += Shard(corpus.options.out / entry.file).header().drops[0].tokens;
    }
    CHECK(in_headers == short_tokens);
    const Receipt loaded = Receipt::load(corpus.options.out);
    CHECK(loaded.json() == receipt.json());
    CHECK(loaded.text() == receipt.text());
}

TEST_CASE("the validation split: whole documents, the share that was asked for, another for every seed") {
    int chosen = 0, both = 0;
    for (uint64_t d = 0; d < 100000; ++d) {
        chosen += in_validation(d, 0.03, 5) ? 1 : 0;
        both += in_validation(d, 0.03, 5) && in_validation(d, 0.03, 6) ? 1 : 0;
        CHECK(!in_validation(d, 0, 5));
    }
    CHECK(std::abs(chosen - 3000) < 6 * std::sqrt(3000 * 0.97));
    CHECK(std::abs(both - 90) < 6 * std::sqrt(90.0));
}

TEST_CASE("text shrinks: at most 0.6 of ordinary English in two bytes a token") {
    Corpus corpus(20000);
    fs::remove(corpus.folder / "text/c.html");
    const Receipt receipt = prepare(corpus.options).receipt;
    CHECK(static_cast<double>(receipt.shard_bytes()) <= 0.6 * static_cast<double>(receipt.text_bytes));
}

TEST_CASE("a vocabulary made from the text") {
    Corpus corpus;
    corpus.options.vocabulary.reset();
    corpus.options.train_vocabulary = 60;
    corpus.options.threads = 3;
    const Receipt receipt = prepare(corpus.options).receipt;
    CHECK(receipt.vocabulary_size == 60);
    CHECK(Vocabulary::load(corpus.options.out / "vocab.txt").size() == 60);
    const auto expected = contents(corpus.options.out);
    corpus.options.out = corpus.folder / "one";
    corpus.options.threads = 1;
    prepare(corpus.options);
    CHECK(contents(corpus.options.out) == expected);
}

TEST_CASE("an output folder inside the text folder is not read as text") {
    Corpus corpus;
    corpus.options.out = corpus.folder / "text/data";
    const Receipt first = prepare(corpus.options).receipt;
    CHECK(first.files == 3);
    CHECK(prepare(corpus.options).already_there);
}
