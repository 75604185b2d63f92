// From text to sequences: the ids, types and lengths that another implementation made of golden files, and the rules of
// cutting, labels and windows by hand.
#include "data/tasks/sequences/sequences.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "data/tasks/sequences/spans.h"
#include "tests/support/data_fixture.h"
#include "tests/support/golden_task.h"

using namespace dropforge;
using namespace dropforge::tasks;
using data::Place;
using namespace dropforge::test;

namespace {

using Ids = std::vector<int32_t>;

/// A vocabulary of the special tokens, a … j (5 … 14) and ##x (15).
const data::Vocabulary& letters() {
    static const data::Vocabulary vocabulary(
        {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "##x"});
    return vocabulary;
}

Items items_of(const std::string& task, std::vector<Example> examples, const SequenceOptions& options) {
    const ExampleFile file{.path = "file", .examples = std::move(examples)};
    return make_items(find_task(task), file, letters(), data::kUncased, options);
}

/// How many pieces stay of two texts of `a` and `b` pieces that have room for `room`.
std::pair<int64_t, int64_t> kept(size_t a, size_t b, int64_t room) {
    std::string first, second;
    for (size_t i = 0; i < a; ++i) first += "a ";
    for (size_t i = 0; i < b; ++i) second += "b ";
    const Items items = items_of("pair", {{.a = first, .b = second}}, {.max_length = room + 3});
    const Sequence& s = items.items[0].sequences[0];
    CHECK(items.truncated == (static_cast<int64_t>(a + b) > room ? 1 : 0));
    CHECK(s.ids[s.second - 1] == 3);
    return {std::ranges::count(s.ids, 5), std::ranges::count(s.ids, 6)};
}

Example question(const std::string& a, const std::string& context, std::vector<Answer> answers = {}) {
    return {.a = a, .b = context, .id = "q", .answers = std::move(answers)};
}

}  // namespace

TEST_CASE("golden: ids, types and lengths of every evaluated sequence") {
    for (const std::string name : {"single", "mrpc", "stsb", "copa", "token", "squad2"}) {
        CAPTURE(name);
        const GoldenTask golden(name, name == "squad2" ? "main" : "initial");
        Ids ids, types, lengths;
        for (const Item& item : golden.items.items)
            for (const Sequence& sequence : item.sequences) {
                ids.insert(ids.end(), sequence.ids.begin(), sequence.ids.end());
                lengths.push_back(static_cast<int32_t>(sequence.ids.size()));
                for (size_t i = 0; i < sequence.ids.size(); ++i) types.push_back(sequence.token_type(i));
            }
        CHECK(ids == tensor<int32_t>(golden.tensors, "input_ids"));
        CHECK(types == tensor<int32_t>(golden.tensors, "token_type_ids"));
        CHECK(lengths == tensor<int32_t>(golden.tensors, "lengths"));
        const nlohmann::json& counts = golden.facts.at("eval");
        CHECK(golden.file.examples.size() == counts.at("examples"));
        CHECK(golden.items.items.size() == counts.at("items"));
        CHECK(golden.items.truncated == counts.at("truncated"));
        CHECK(golden.file.skipped == counts.at("skipped"));
    }
}

TEST_CASE("golden: the pieces that have a label, among all positions of the file") {
    const GoldenTask golden("token", "initial");
    Ids labelled;
    int32_t before = 0;
    for (const Item& item : golden.items.items) {
        for (const int32_t position : item.positions) labelled.push_back(before + position);
        before += static_cast<int32_t>(item.length());
    }
    CHECK(labelled == golden.facts.at("labelled").get<Ids>());
}

TEST_CASE("golden: answers and odds from the logits of windows") {
    const GoldenTask golden("squad2", "main");
    const auto starts = tensor<float>(golden.tensors, "start_logits#centred");
    const auto ends = tensor<float>(golden.tensors, "end_logits#centred");
    const auto odds = tensor<float>(golden.tensors, "null_odds");
    const auto small = [](double limit) { return [limit](float value) { return std::abs(value) < limit; }; };
    REQUIRE((std::ranges::all_of(starts, small(16)) && std::ranges::all_of(ends, small(16)) &&
             std::ranges::all_of(odds, small(32))));
    constexpr double kRounding = 4 * 0x1p-21 + 0x1p-20;  // half an ulp of four logits below 16 and of odds below 32
    const std::vector<Item>& items = golden.items.items;
    size_t at = 0, item = 0;
    for (size_t q = 0; q < golden.file.examples.size(); ++q) {
        CAPTURE(q);
        std::vector<WindowLogits> windows;
        for (; item < items.size() && items[item].example == q; ++item) {
            const size_t length = items[item].length();
            windows.push_back({&items[item], {&starts[at], length}, {&ends[at], length}});
            at += length;
        }
        const SpanPrediction best = best_span(*golden.file.examples[q].b, windows, 30);
        CHECK(std::abs(best.odds - static_cast<double>(odds[q])) <= kRounding);
        CHECK((best.odds > 0 ? "" : best.text) == golden.facts.at("predictions")[q].get<std::string>());
    }
    CHECK(at == starts.size());
}

TEST_CASE("pairs: the longer text is cut first, the odd piece stays with it") {
    using Pair = std::pair<int64_t, int64_t>;
    CHECK(kept(2, 3, 5) == Pair{2, 3});
    CHECK(kept(2, 9, 7) == Pair{2, 5});
    CHECK(kept(9, 2, 7) == Pair{5, 2});
    CHECK(kept(3, 9, 7) == Pair{3, 4});
    CHECK(kept(5, 9, 7) == Pair{3, 4});
    CHECK(kept(9, 5, 7) == Pair{4, 3});
    CHECK(kept(9, 9, 7) == Pair{3, 4});
    CHECK(kept(9, 9, 8) == Pair{4, 4});
    CHECK(kept(0, 9, 7) == Pair{0, 7});
    CHECK(kept(0, 0, 7) == Pair{0, 0});
}

TEST_CASE("one text, and choices") {
    const Items one = items_of("single", {{.a = "a b c d"}, {.a = ""}}, {.max_length = 5});
    CHECK(one.items[0].sequences[0].ids == Ids{2, 5, 6, 7, 3});
    CHECK(one.items[0].sequences[0].token_type(4) == 0);
    CHECK(one.items[1].sequences[0].ids == Ids{2, 3});
    CHECK(one.truncated == 1);
    const Items choices = items_of("choice", {{.a = "a", .choices = {"b", "c d e f"}}}, {.max_length = 7});
    REQUIRE(choices.items.size() == 1);
    CHECK(choices.items[0].sequences[0].ids == Ids{2, 5, 3, 6, 3});
    CHECK(choices.items[0].sequences[1].ids == Ids{2, 5, 3, 7, 8, 9, 3});
    CHECK(choices.items[0].length() == 7);
    CHECK(choices.truncated == 1);
    CHECK(error_of([] { items_of("single", {{.a = "a"}}, {.max_length = 4}); }) ==
          "data.max_length = 4, expected at least 5");
}

TEST_CASE("words: the label stands on the first piece; none for what vanishes or is cut off") {
    const Example sentence{.words = {"ax", "\u200b", "[SEP]", "b", "cxx", "d"}};
    const Items items = items_of("token", {sentence}, {.max_length = 10});
    CHECK(items.items[0].sequences[0].ids == Ids{2, 5, 15, 1, 1, 1, 6, 7, 15, 3});  // [SEP] is three words, two unknown
    CHECK(items.items[0].words == Ids{0, 2, 3, 4});
    CHECK(items.items[0].positions == Ids{1, 3, 6, 7});
    CHECK(items.truncated == 1);
    CHECK(items_of("token", {sentence}, {.max_length = 12}).truncated == 0);
}

TEST_CASE("windows: they share doc_stride pieces, and the last one ends with the context") {
    const SequenceOptions options{.max_length = 8, .doc_stride = 2, .max_question = 2};
    const Items items = items_of("span", {question("j i h", "a b c d e f g", {{"e", 8}})}, options);
    REQUIRE(items.items.size() == 5);
    CHECK(items.items[0].sequences[0].ids == Ids{2, 14, 13, 3, 5, 6, 7, 3});
    CHECK(items.items[4].sequences[0].ids == Ids{2, 14, 13, 3, 9, 10, 11, 3});
    CHECK(items.items[4].context == 4);
    CHECK(items.items[4].places == std::vector<Place>{{8, 9}, {10, 11}, {12, 13}});
    CHECK(items.truncated == 1);
    CHECK(items.items[0].start == 0);
    CHECK(items.items[0].end == 0);
    CHECK(items.items[2].start == 6);
    CHECK(items.items[2].end == 6);
    CHECK(items.items[4].start == 4);
    const Items exact = items_of("span", {question("j i", "a b c")}, options);
    CHECK(exact.items.size() == 1);
    CHECK(exact.truncated == 0);
    const Items empty = items_of("span", {question("j i", " \u200b ")}, options);
    REQUIRE(empty.items.size() == 1);
    CHECK(empty.items[0].sequences[0].ids == Ids{2, 14, 13, 3, 3});
    CHECK(error_of([&] {
              items_of("span", {question("j i", "a")}, {.max_length = 8, .doc_stride = 3, .max_question = 2});
          }) == "file: q: data.doc_stride = 3, but a window has room for 3 pieces of the context");
}

TEST_CASE("windows: an answer that begins or ends inside of a piece, or at what vanishes") {
    const SequenceOptions options{.max_length = 20, .doc_stride = 2};
    const auto answer = [&](const std::string& context, const Answer& right) {
        const Items items = items_of("span", {question("j", context, {right})}, options);
        return std::pair(items.items[0].start - 3, items.items[0].end - 3);
    };
    using Pair = std::pair<int32_t, int32_t>;
    CHECK(answer("a bxx c", {"bxx", 2}) == Pair{1, 3});
    CHECK(answer("a bxx c", {"x", 3}) == Pair{2, 2});
    CHECK(answer("zz q c", {"z", 1}) == Pair{0, 0});                  // of an unknown word
    CHECK(answer("\u00e4 b\u0301 c", {"b\u0301", 2}) == Pair{1, 2});  // ends after the piece b
    CHECK(answer("a \u200bb", {"\u200bb", 2}) == Pair{0, 1});
    CHECK(answer("\u200ba b", {"\u200ba", 0}) == Pair{-3, -3});  // begins before the first piece
    CHECK(answer("a b", {"b c", 2}) == Pair{-3, -3});
}

TEST_CASE("spans: the largest sum, the first of equal ones, at most max_answer pieces") {
    const Items items = items_of("span", {question("j", "a b c d")}, {.max_length = 20, .doc_stride = 2});
    const auto best = [&](std::vector<float> start, std::vector<float> end, int64_t max_answer) {
        start.insert(start.begin(), {9, 0, 0});
        end.insert(end.begin(), {1, 0, 0});
        start.push_back(99);  // of [SEP], no piece of the context
        end.push_back(99);
        const WindowLogits logits{&items.items[0], start, end};
        return best_span("a b c d", {&logits, 1}, max_answer);
    };
    CHECK(best({1, 5, 1, 1}, {1, 1, 1, 5}, 30).text == "b c d");
    CHECK(best({1, 5, 1, 1}, {1, 1, 1, 5}, 30).odds == 0);
    CHECK(best({1, 5, 1, 1}, {1, 1, 2, 5}, 2).text == "b c");
    CHECK(best({1, 5, 1, 1}, {9, 1, 1, 1}, 30).text == "a");  // 5 + 9 would end before it begins
    CHECK(best({2, 2, 2, 2}, {2, 2, 2, 2}, 30).text == "a");
    CHECK(best({2, 2, 2, 2}, {2, 2, 2, 2}, 30).odds == 6);
    const Items empty = items_of("span", {question("j", "")}, {.max_length = 20, .doc_stride = 2});
    const std::vector<float> logits = {2, 5, 5, 5};
    const WindowLogits window{&empty.items[0], logits, logits};
    CHECK(best_span("", {&window, 1}, 30).text.empty());
    CHECK(best_span("", {&window, 1}, 30).odds == 4);
}

TEST_CASE("spans: the first window of equal ones; [CLS] of the window where it is smallest") {
    const Items items = items_of("span", {question("j", "a b c d e")}, {.max_length = 8, .doc_stride = 1});
    REQUIRE(items.items.size() == 2);
    const std::vector<float> first = {7, 0, 0, 1, 1, 1, 1, 0}, second = {3, 0, 0, 1, 1, 0};
    const std::vector<WindowLogits> windows = {{&items.items[0], first, first}, {&items.items[1], second, second}};
    const SpanPrediction best = best_span("a b c d e", windows, 30);
    CHECK(best.text == "a");
    CHECK(best.odds == 4);
}
