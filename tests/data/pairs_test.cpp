// Sentence pairs: those that BERT's own preparation makes of the same draws, each alone as in order.
#include "data/batches/pairs.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "data/batches/loader.h"
#include "tests/support/data_fixture.h"

using namespace dropforge;
using namespace dropforge::data;
using namespace dropforge::test;

namespace {

constexpr int32_t kVocabulary = 500;

using Tokens = std::vector<int32_t>;

/// Documents whose sentences have 1 … `longest` tokens.
std::vector<Document> documents_with_sentences(size_t count, uint32_t tokens, uint32_t longest, uint64_t seed) {
    std::vector<Document> documents = random_documents(count, tokens, kVocabulary, seed);
    PhiloxStream random(seed, 1);
    for (Document& document : documents) {
        document.sentence_starts.resize(document.ids.size(), 0);
        for (size_t at = 0; at < document.ids.size(); at += 1 + random.below(longest)) document.sentence_starts[at] = 1;
    }
    return documents;
}

/// A document of sentences with these sizes; token i of it is first + i.
Document document_of(const std::vector<size_t>& sizes, int32_t first) {
    Document document;
    for (const size_t size : sizes) {
        for (size_t i = 0; i < size; ++i) {
            document.ids.push_back(first++);
            document.word_starts.push_back(1);
            document.sentence_starts.push_back(i == 0 ? 1 : 0);
        }
    }
    return document;
}

struct Data {
    TemporaryFolder folder;
    std::vector<Document> documents;
    Dataset dataset;

    explicit Data(std::vector<Document> all, uint64_t shard_tokens = 700)
        : documents(std::move(all)), dataset(written(shard_tokens), Split::train) {}

  private:
    fs::path written(uint64_t shard_tokens) const {
        write_dataset(folder / "data", documents, kVocabulary, shard_tokens);
        return folder / "data";
    }
};

struct Example {
    Tokens a, b;
    int32_t label;
    friend bool operator==(const Example&, const Example&) = default;
};

std::vector<Tokens> sentences_of(const Document& document) {
    std::vector<Tokens> sentences;
    for (size_t i = 0; i < document.ids.size(); ++i) {
        if (document.sentence_starts[i] != 0) sentences.emplace_back();
        sentences.back().push_back(document.ids[i]);
    }
    return sentences;
}

/// One epoch as BERT's create_pretraining_data.py (Devlin et al.) and ALBERT's (Lan et al.) make it, on lists of
/// sentences, from the same draws.
class Lists {
  public:
    Lists(const std::vector<Document>& documents, const PairOptions& options, uint32_t epoch)
        : options_(options), epoch_(epoch) {
        for (const Document& document : documents) documents_.push_back(sentences_of(document));
        for (size_t d = 0; d < documents_.size(); ++d) take_document(d);
    }
    const std::vector<Example>& examples() const { return examples_; }

  private:
    void take_document(size_t d) {
        PhiloxStream walk(options_.seed ^ 0x57414c4b50414952, d, epoch_ % PairPlan::kWalks);
        const auto most = static_cast<uint32_t>(options_.length) - 3;
        size_t target = most;
        if (walk.uniform() < options_.short_sequences) target = 2 + walk.below(most - 1);
        std::vector<Tokens> chunk;
        size_t length = 0;
        for (size_t i = 0; i < documents_[d].size(); ++i) {
            chunk.push_back(documents_[d][i]);
            length += chunk.back().size();
            if (i + 1 < documents_[d].size() && length < target) continue;
            const size_t a_end = chunk.size() == 1 ? 1 : 1 + walk.below(static_cast<uint32_t>(chunk.size()) - 1);
            const bool random = chunk.size() == 1 || (options_.pairs == Pairs::next_sentence && walk.below(2) == 1);
            take_pair(d, chunk, a_end, random, target);
            if (random) i -= chunk.size() - a_end;
            chunk.clear();
            length = 0;
        }
    }

    void take_pair(size_t d, const std::vector<Tokens>& chunk, size_t a_end, bool random, size_t target) {
        PhiloxStream place(options_.seed ^ 0x504c414345504149, examples_.size(), epoch_);
        Example example{.a = {}, .b = {}, .label = random ? 1 : 0};
        const auto extend = [](Tokens& to, const Tokens& by) { to.insert(to.end(), by.begin(), by.end()); };
        for (size_t j = 0; j < a_end; ++j) extend(example.a, chunk[j]);
        if (random) {
            size_t other = place.below(static_cast<uint32_t>(documents_.size()) - 1);
            if (other >= d) ++other;
            const size_t first = place.below(static_cast<uint32_t>(documents_[other].size()));
            for (size_t j = first; j < documents_[other].size(); ++j) {
                extend(example.b, documents_[other][j]);
                if (example.a.size() + example.b.size() >= target) break;
            }
        } else {
            for (size_t j = a_end; j < chunk.size(); ++j) extend(example.b, chunk[j]);
            if (options_.pairs == Pairs::sentence_order && place.below(2) == 1) {
                std::swap(example.a, example.b);
                example.label = 1;
            }
        }
        while (example.a.size() + example.b.size() > static_cast<size_t>(options_.length) - 3) {
            Tokens& longer = example.a.size() > example.b.size() ? example.a : example.b;
            longer.erase(place.below(2) == 0 ? longer.begin() : longer.end() - 1);
        }
        examples_.push_back(std::move(example));
    }

    PairOptions options_;
    uint32_t epoch_;
    std::vector<std::vector<Tokens>> documents_;
    std::vector<Example> examples_;
};

Tokens tokens_of(const Dataset& dataset, const Segment& segment) {
    Tokens ids(segment.size());
    dataset.read(segment.begin, ids, {});
    return ids;
}

Example example_of(const Dataset& dataset, const SentencePair& pair) {
    return {tokens_of(dataset, pair.a), tokens_of(dataset, pair.b), pair.label};
}

LoaderOptions loader_options(Pairs pairs, int64_t length, int64_t batch) {
    LoaderOptions options;
    options.seed = 11;
    options.batch = batch;
    options.length = length;
    options.max_predictions = 3;
    options.pairs = pairs;
    return options;
}

}  // namespace

TEST_CASE("every pair of every epoch is that of BERT's and ALBERT's preparation, from the same draws") {
    // Long documents too: a block of the plan ends inside of them or behind them.
    std::vector<Document> documents = documents_with_sentences(60, 400, 12, 3);
    for (Document& document : documents_with_sentences(2, 40000, 12, 4)) documents.push_back(std::move(document));
    const Data data(std::move(documents));
    for (const Pairs pairs : {Pairs::next_sentence, Pairs::sentence_order}) {
        const PairOptions options{.pairs = pairs, .length = 24, .short_sequences = 0.4, .seed = 9};
        PairPlan plan(data.dataset, options);
        for (const uint32_t epoch : {0U, 3U, 13U}) {
            const std::vector<Example> expected = Lists(data.documents, options, epoch).examples();
            REQUIRE(plan.samples(epoch) == expected.size());
            for (size_t i = 0; i < expected.size(); i += i + 7 < expected.size() ? 7 : 1)
                REQUIRE(example_of(data.dataset, plan.pair(epoch, i)) == expected[i]);
        }
    }
}

TEST_CASE("a small corpus: how many pairs, random ones and full ones each walk has, to the pair") {
    // Pinned: other numbers would be other data for a run that goes on.
    const Data data(documents_with_sentences(20, 120, 12, 8));
    const PairOptions options{.pairs = Pairs::next_sentence, .length = 32, .short_sequences = 0.1, .seed = 2};
    PairPlan plan(data.dataset, options);
    std::string counts, expected;
    for (uint32_t epoch = 0; epoch < PairPlan::kWalks; ++epoch) {
        int random = 0, full = 0;
        for (uint64_t i = 0; i < plan.samples(epoch); ++i) {
            const SentencePair pair = plan.pair(epoch, i);
            random += pair.label;
            full += pair.a.size() + pair.b.size() == 29 ? 1 : 0;
        }
        counts += fmt::format("{}/{}/{} ", plan.samples(epoch), random, full);
        const std::vector<Example> lists = Lists(data.documents, options, epoch).examples();
        expected +=
            fmt::format("{}/{}/{} ", lists.size(), std::ranges::count(lists, 1, &Example::label),
                        std::ranges::count_if(lists, [](const Example& e) { return e.a.size() + e.b.size() == 29; }));
    }
    CHECK(counts == "72/33/55 93/59/41 79/46/54 82/49/53 81/45/50 90/63/60 76/40/53 84/50/57 75/37/51 78/42/50 ");
    CHECK(counts == expected);
}

TEST_CASE("two documents of one sentence: each pair is theirs, worked out by hand") {
    const Data data({document_of({3}, 100), document_of({4}, 200)});
    LoaderOptions options = loader_options(Pairs::next_sentence, 14, 2);
    options.mask_probability = 1e-9;  // one token of each
    EvaluationBatches batches(data.dataset, kSpecial, options);
    REQUIRE(batches.sequences() == 2);
    Batch batch;
    batches.fill(0, batch);
    for (size_t slot = 0; slot < 6; ++slot)
        batch.input_ids[slot / 3 * 14 + static_cast<size_t>(batch.masked_positions[slot])] = batch.masked_labels[slot];
    CHECK(batch.input_ids == Tokens{2, 100, 101, 102, 3,   200, 201, 202, 203, 3, 0, 0, 0, 0,  //
                                    2, 200, 201, 202, 203, 3,   100, 101, 102, 3, 0, 0, 0, 0});
    CHECK(batch.token_type_ids == Tokens{0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0,  //
                                         0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0});
    CHECK(batch.lengths == Tokens{10, 10});
    CHECK(batch.next_sentence_labels == Tokens{1, 1});
    CHECK(batch.masked_weights == std::vector<float>{1, 0, 0, 1, 0, 0});
}

TEST_CASE("two sentences and a target that takes both: one true pair, or two random ones, since the second goes back") {
    const Data data({document_of({3, 4}, 100), document_of({30}, 200)});
    PairPlan plan(data.dataset, {.pairs = Pairs::next_sentence, .length = 16, .short_sequences = 0, .seed = 1});
    int single = 0;
    for (uint32_t epoch = 0; epoch < PairPlan::kWalks; ++epoch) {
        const Example first = example_of(data.dataset, plan.pair(epoch, 0));
        CHECK(first.a == Tokens{100, 101, 102});
        single += first.label == 0 ? 1 : 0;
        if (first.label == 0) {
            CHECK(first.b == Tokens{103, 104, 105, 106});
            CHECK(plan.samples(epoch) == 2);  // and the other document's
            continue;
        }
        CHECK(plan.samples(epoch) == 3);
        CHECK(example_of(data.dataset, plan.pair(epoch, 1)).a == Tokens{103, 104, 105, 106});
        CHECK(first.b.size() == 10);  // 13 tokens in all: the longer one is cut to what is left
        CHECK(first.b.back() - first.b.front() == 9);
    }
    CHECK((single > 0 && single < 10));
    PairPlan order(data.dataset, {.pairs = Pairs::sentence_order, .length = 16, .short_sequences = 0, .seed = 1});
    for (uint32_t epoch = 0; epoch < 20; ++epoch) {
        CHECK(order.samples(epoch) == 2);
        const Example pair = example_of(data.dataset, order.pair(epoch, 0));
        const Tokens a{100, 101, 102}, b{103, 104, 105, 106};
        CHECK(pair == (pair.label == 0 ? Example{a, b, 0} : Example{b, a, 1}));
    }
}

namespace {

/// Numbers of pairs: of all, of those with a random B, of true ones with four sentences.
struct PairCounts {
    double all = 0, random = 0, full = 0;

    void add(double weight, const PairCounts& other) {
        all += weight * other.all;
        random += weight * other.random;
        full += weight * other.full;
    }
};

/// The expected numbers of a document of 40 sentences of which a pair takes `target` (data/batches/pairs.h, "walk").
PairCounts expected_counts(int target) {
    std::vector<PairCounts> of_last(41);  // sentences of the document
    for (int left = 1; left <= 40; ++left) {
        PairCounts& counts = of_last[static_cast<size_t>(left)];
        const int taken = std::min(target, left), longest_a = std::max(taken - 1, 1);
        const double random = taken == 1 ? 1 : 0.5;
        counts = {.all = 1, .random = random, .full = taken == 4 ? 1 - random : 0};
        counts.add(1 - random, of_last[static_cast<size_t>(left - taken)]);
        for (int a = 1; a <= longest_a; ++a) counts.add(random / longest_a, of_last[static_cast<size_t>(left - a)]);
    }
    return of_last.back();
}

}  // namespace

TEST_CASE("half of the pairs are random, a tenth of the documents have a shorter target") {
    // Sentences of 5 tokens fill 20 exactly, so that nothing is cut.
    std::vector<Document> documents;
    for (int i = 0; i < 400; ++i) documents.push_back(document_of(std::vector<size_t>(40, 5), 7));
    const Data data(std::move(documents), 50000);
    PairPlan plan(data.dataset, {.pairs = Pairs::next_sentence, .length = 23, .short_sequences = 0.1, .seed = 5});
    std::vector<PairCounts> counts(400);  // of each document, in the stream 200 tokens and a separator
    for (uint64_t i = 0; i < plan.samples(0); ++i) {
        const SentencePair pair = plan.pair(0, i);
        const uint64_t tokens = pair.a.size() + pair.b.size();
        REQUIRE(tokens <= 20);
        counts.at(pair.a.begin / 201).add(1, {1, 1.0 * pair.label, pair.label == 0 && tokens == 20 ? 1.0 : 0});
    }
    PairCounts expected;
    expected.add(0.9, expected_counts(4));
    for (int tokens = 2; tokens <= 20; ++tokens) expected.add(0.1 / 19, expected_counts((tokens + 4) / 5));
    // Documents are independent, so the sum over them of a number whose mean is 0 has, over the root of the sum of its
    // squares, a normal distribution: beyond 5 once in two million seeds.
    const auto check_mean = [&](double PairCounts::*number) {
        double sum = 0, squares = 0;
        for (const PairCounts& document : counts) {
            const double difference = document.*number - expected.*number;
            sum += difference;
            squares += difference * difference;
        }
        CHECK(std::abs(sum) < 5 * std::sqrt(squares));
    };
    check_mean(&PairCounts::all);
    check_mean(&PairCounts::random);
    check_mean(&PairCounts::full);
}

TEST_CASE("a step alone gives the batch that it gives in order, over epochs of different sizes and any shard size") {
    const std::vector<Document> documents = documents_with_sentences(30, 60, 9, 6);
    const Data data(documents), other(documents, 13);
    for (const Pairs pairs : {Pairs::next_sentence, Pairs::sentence_order}) {
        const LoaderOptions options = loader_options(pairs, 32, 4);
        BatchMaker in_order(data.dataset, kSpecial, options);
        for (uint64_t step = 0; step < 400; ++step) {
            Batch batch, alone;
            in_order.fill(step, batch);
            if (step % 29 != 0) continue;
            BatchMaker(step % 2 == 0 ? other.dataset : data.dataset, kSpecial, options).fill(step, alone);
            CHECK(batch.input_ids == alone.input_ids);
            CHECK(batch.token_type_ids == alone.token_type_ids);
            CHECK(batch.lengths == alone.lengths);
            CHECK(batch.next_sentence_labels == alone.next_sentence_labels);
            CHECK(batch.masked_positions == alone.masked_positions);
        }
    }
}

TEST_CASE("masks are on tokens of the pair, by pieces and by words") {
    const Data data(documents_with_sentences(30, 60, 9, 6));
    for (const bool whole_word : {false, true}) {
        LoaderOptions options = loader_options(Pairs::next_sentence, 32, 8);
        options.max_predictions = 6;
        options.whole_word = whole_word;
        BatchMaker maker(data.dataset, kSpecial, options);
        Batch batch;
        for (uint64_t step = 0; step < 20; ++step) {
            maker.fill(step, batch);
            for (size_t slot = 0; slot < batch.masked_positions.size(); ++slot) {
                CHECK(batch.masked_positions[slot] < batch.lengths[slot / 6]);
                if (batch.masked_weights[slot] > 0) CHECK(batch.masked_labels[slot] >= 5);
            }
        }
    }
}

TEST_CASE("static masks: ten epochs in turn") {
    const Data data(documents_with_sentences(8, 60, 9, 6));
    LoaderOptions options = loader_options(Pairs::next_sentence, 32, 1);
    for (const bool dynamic : {false, true}) {
        options.dynamic = dynamic;
        SampleMaker maker(data.dataset, kSpecial, options);
        Batch first, again, next;
        for (Batch* batch : {&first, &again, &next}) maker.reserve(*batch, 1);
        int different = 0;
        for (uint64_t sample = 0; sample < maker.samples(2); ++sample) {
            maker.make(2, sample, first, 0);
            maker.make(12, sample, again, 0);
            different += first.input_ids != again.input_ids ? 1 : 0;
        }
        CHECK((different > 0) == dynamic);
    }
}

TEST_CASE("data without sentence borders, with one document, or sequences too short are refused in words") {
    const Data data({document_of({3}, 100)});
    const auto refusal = [](const Dataset& dataset, int64_t length) {
        LoaderOptions options = loader_options(Pairs::next_sentence, length, 1);
        options.max_predictions = 1;
        return error_of([&] { SampleMaker(dataset, kSpecial, options); });
    };
    CHECK(contains(refusal(data.dataset, 16), "the train split has 1 documents, but sentence pairs need 2 or more"));
    const Data two({document_of({3}, 100), document_of({3}, 100)});
    CHECK(contains(refusal(two.dataset, 3), "max predictions 1: a sequence of 3 holds 0 tokens"));
    CHECK(contains(refusal(two.dataset, 4), "a pair with [CLS] and two [SEP] needs 5"));
    CHECK(refusal(two.dataset, 5) == "");
    const Data without(random_documents(3, 9, kVocabulary, 1));
    CHECK(contains(refusal(without.dataset, 16), "make the data with dropforge prepare --sentences line"));
}
