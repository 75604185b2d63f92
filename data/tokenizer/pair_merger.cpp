#include "data/tokenizer/pair_merger.h"

#include <utility>

namespace dropforge::data {

/// Adds the word's pairs to the counts, or takes them off.
void PairMerger::count_pairs(uint32_t word, bool add) {
    const Word& entry = words_[word];
    const int32_t* symbols = &symbols_[entry.offset];
    for (uint32_t i = 0; i + 1 < entry.size; ++i) {
        const uint64_t key = key_of(symbols[i], symbols[i + 1]);
        PairState& pair = pairs_[key];
        if (!add) {
            pair.count -= entry.count;
            continue;
        }
        pair.count += entry.count;
        if (pair.words.empty() || pair.words.back() != word) pair.words.push_back(word);
        grown_.push_back(key);
    }
}

/// The queue is corrected lazily: a count that grew gets a new entry now, one that shrank when its old entry comes up.
void PairMerger::enqueue(uint64_t key, PairState& pair) {
    if (pair.count <= pair.queued) return;
    pair.queued = pair.count;
    queue_.push({pair.count, key});
}

void PairMerger::add_word(std::span<const int32_t> symbols, uint64_t count) {
    if (symbols.size() < 2 || count == 0) return;
    words_.push_back({symbols_.size(), static_cast<uint32_t>(symbols.size()), count});
    symbols_.insert(symbols_.end(), symbols.begin(), symbols.end());
    count_pairs(static_cast<uint32_t>(words_.size() - 1), true);
    for (const uint64_t key : std::exchange(grown_, {})) enqueue(key, pairs_[key]);
}

PairMerger::Best PairMerger::best() {
    while (!queue_.empty()) {
        const Entry top = queue_.top();
        PairState& pair = pairs_[top.key];
        if (top.count == pair.queued && top.count == pair.count) {
            return {{static_cast<int32_t>(top.key >> 32), static_cast<int32_t>(top.key)}, top.count};
        }
        queue_.pop();
        if (top.count != pair.queued) continue;  // a later entry stands for it
        pair.queued = 0;
        enqueue(top.key, pair);
    }
    return {{-1, -1}, 0};
}

void PairMerger::join(Pair pair, int32_t joined) {
    const std::vector<uint32_t> touched = std::move(pairs_[key_of(pair.left, pair.right)].words);
    pairs_[key_of(pair.left, pair.right)].words.clear();
    for (const uint32_t word : touched) {
        Word& entry = words_[word];
        int32_t* symbols = &symbols_[entry.offset];
        uint32_t first = 0;
        while (first + 1 < entry.size && !(symbols[first] == pair.left && symbols[first + 1] == pair.right)) ++first;
        if (first + 1 >= entry.size) continue;  // an earlier join removed the pair, or the word was listed twice
        // Taking all pairs off and adding the new ones is simpler than the few that change, and right for overlaps (a a
        // a) as well.
        count_pairs(word, false);
        uint32_t to = first;
        for (uint32_t from = first; from < entry.size; ++to) {
            const bool match = from + 1 < entry.size && symbols[from] == pair.left && symbols[from + 1] == pair.right;
            symbols[to] = match ? joined : symbols[from];
            from += match ? 2 : 1;
        }
        entry.size = to;
        count_pairs(word, true);
    }
    for (const uint64_t key : grown_) enqueue(key, pairs_[key]);
    grown_.clear();
}

}  // namespace dropforge::data
