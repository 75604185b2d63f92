#include "data/tasks/sequences/sequences.h"

#include <algorithm>

#include "base/error.h"
#include "data/tasks/code_points.h"

namespace dropforge::tasks {

namespace {

using Ids = std::vector<int32_t>;

int64_t size_of(const auto& list) { return static_cast<int64_t>(list.size()); }

/// Cuts two texts on the right to `room` pieces in all, as transformers' longest_first does it: only the longer one if
/// the other has no more than half the room, else both; the odd piece stays with the longer, b if they are equal.
void cut_pair(Ids& a, Ids& b, int64_t room) {
    if (size_of(a) + size_of(b) <= room) return;
    const int64_t shorter = std::min({size_of(a), size_of(b), room / 2});
    const bool b_is_longer = a.size() <= b.size();
    a.resize(static_cast<size_t>(b_is_longer ? shorter : room - shorter));
    b.resize(static_cast<size_t>(b_is_longer ? room - shorter : shorter));
}

class ItemMaker {
  public:
    ItemMaker(const data::Vocabulary& vocabulary, const data::Normalization& normalization,
              const SequenceOptions& options, const ExampleFile& file)
        : tokenizer_(vocabulary, normalization), special_(vocabulary.special()), options_(options), file_(file) {}

    Items make(Kind kind) {
        for (size_t i = 0; i < file_.examples.size(); ++i) {
            const Example& example = file_.examples[i];
            const bool cut = kind == Kind::span     ? add_windows(example, i)
                             : kind == Kind::token  ? add_words(example, i)
                             : kind == Kind::choice ? add_choices(example, i)
                                                    : add_texts(example, i);
            items_.truncated += cut ? 1 : 0;
        }
        return std::move(items_);
    }

  private:
    Ids encode(const std::string& text) {
        Ids ids;
        tokenizer_.encode(text, ids);
        return ids;
    }

    Sequence sequence(const Ids& a, const Ids* b = nullptr) const {
        Sequence s{{special_.cls}, 0};
        s.ids.insert(s.ids.end(), a.begin(), a.end());
        s.ids.push_back(special_.sep);
        s.second = s.ids.size();
        if (b == nullptr) return s;
        s.ids.insert(s.ids.end(), b->begin(), b->end());
        s.ids.push_back(special_.sep);
        return s;
    }

    /// Appends [CLS] a [SEP] b [SEP]; whether something was cut.
    bool add_pair(Ids a, Ids b, std::vector<Sequence>& sequences) const {
        const size_t before = a.size() + b.size();
        cut_pair(a, b, options_.max_length - 3);
        sequences.push_back(sequence(a, &b));
        return a.size() + b.size() < before;
    }

    // Each of these adds the items of one example, and says whether it was cut.

    bool add_texts(const Example& example, size_t place) {
        Item item{.example = place, .sequences = {}};
        Ids a = encode(example.a);
        bool cut = false;
        if (example.b) {
            cut = add_pair(std::move(a), encode(*example.b), item.sequences);
        } else {
            cut = cut_single(a);
            item.sequences.push_back(sequence(a));
        }
        items_.items.push_back(std::move(item));
        return cut;
    }

    bool add_choices(const Example& example, size_t place) {
        Item item{.example = place, .sequences = {}};
        const Ids a = encode(example.a);
        bool cut = false;
        for (const std::string& choice : example.choices) cut |= add_pair(a, encode(choice), item.sequences);
        items_.items.push_back(std::move(item));
        return cut;
    }

    bool add_words(const Example& example, size_t place) {
        Item item{.example = place, .sequences = {}};
        Ids ids;
        for (size_t word = 0; word < example.words.size(); ++word) {
            const int64_t begin = size_of(ids);
            tokenizer_.encode(example.words[word], ids);
            if (size_of(ids) == begin || begin >= options_.max_length - 2) continue;  // no piece, or none that stays
            item.words.push_back(static_cast<int32_t>(word));
            item.positions.push_back(static_cast<int32_t>(begin + 1));
        }
        const bool cut = cut_single(ids);
        item.sequences.push_back(sequence(ids));
        items_.items.push_back(std::move(item));
        return cut;
    }

    bool add_windows(const Example& example, size_t place) {
        Ids question = encode(example.a);
        const bool cut = size_of(question) > options_.max_question;
        if (cut) question.resize(static_cast<size_t>(options_.max_question));
        read_context(*example.b);
        const int64_t room = options_.max_length - size_of(question) - 3, pieces = size_of(context_ids_);
        if (options_.doc_stride >= room)
            throw Error("{}: data.doc_stride = {}, but a window has room for {} pieces of the context",
                        file_.where(example), options_.doc_stride, room);
        for (int64_t begin = 0;; begin += room - options_.doc_stride) {
            const int64_t end = std::min(begin + room, pieces);
            add_window(example, place, question, begin, end);
            if (end == pieces) return cut;
        }
    }

    void add_window(const Example& example, size_t place, const Ids& question, int64_t begin, int64_t end) {
        const Ids ids(context_ids_.begin() + begin, context_ids_.begin() + end);
        Item item{.example = place, .sequences = {sequence(question, &ids)}};
        item.context = static_cast<int32_t>(question.size()) + 2;
        item.places.assign(context_places_.begin() + begin, context_places_.begin() + end);
        if (!example.answers.empty()) place_answer(example.answers[0], item);
        items_.items.push_back(std::move(item));
    }

    /// From the last piece that begins where the answer does or before, to the first that ends where it does or after.
    static void place_answer(const Answer& answer, Item& item) {
        const std::vector<data::Place>& places = item.places;
        const int64_t begin = answer.start, end = begin + code_points_in(answer.text);
        if (places.empty() || places.front().begin > begin || places.back().end < end) return;
        const auto after = std::ranges::upper_bound(places, begin, {}, &data::Place::begin);
        const auto last = std::ranges::lower_bound(places, end, {}, &data::Place::end);
        item.start = item.context + static_cast<int32_t>(after - places.begin()) - 1;
        item.end = item.context + static_cast<int32_t>(last - places.begin());
    }

    bool cut_single(Ids& ids) const {
        const bool cut = size_of(ids) > options_.max_length - 2;
        if (cut) ids.resize(static_cast<size_t>(options_.max_length - 2));
        return cut;
    }

    /// Several questions in a row are about one context.
    void read_context(const std::string& context) {
        if (context == context_) return;
        context_ = context;
        context_ids_.clear();
        context_places_.clear();
        tokenizer_.encode_with_places(context, context_ids_, context_places_);
    }

    data::WordPiece tokenizer_;
    data::SpecialIds special_;
    const SequenceOptions& options_;
    const ExampleFile& file_;
    Items items_;
    std::string context_;
    Ids context_ids_;
    std::vector<data::Place> context_places_;
};

}  // namespace

size_t Item::length() const {
    size_t longest = 0;
    for (const Sequence& sequence : sequences) longest = std::max(longest, sequence.ids.size());
    return longest;
}

Items make_items(const Task& task, const ExampleFile& file, const data::Vocabulary& vocabulary,
                 const data::Normalization& normalization, const SequenceOptions& options) {
    constexpr int64_t kLeast = 5;  // [CLS] a [SEP] b [SEP]
    require(options.max_length >= kLeast, "data.max_length = {}, expected at least {}", options.max_length, kLeast);
    return ItemMaker(vocabulary, normalization, options, file).make(task.kind);
}

}  // namespace dropforge::tasks
