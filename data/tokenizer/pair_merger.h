// Byte-pair encoding over counted words: finds and joins the most frequent pair of neighbouring symbols, fast enough
// for tens of thousands of joins over hundreds of thousands of words.
#pragma once

#include <cstdint>
#include <queue>
#include <span>
#include <unordered_map>
#include <vector>

namespace dropforge::data {

class PairMerger {
  public:
    struct Pair {
        int32_t left, right;
    };
    struct Best {
        Pair pair;
        uint64_t count;  // 0: there is no pair
    };

    /// Adds a word as symbols ≥ 0, with `count` occurrences.
    void add_word(std::span<const int32_t> symbols, uint64_t count);

    /// The most frequent pair; of equally frequent ones that with the lowest left, then the lowest right symbol.
    Best best();
    /// Joins every pair left, right (from the left of each word: a a a becomes aa a) into `joined`, which may be an
    /// existing symbol.
    void join(Pair pair, int32_t joined);

  private:
    struct Word {
        size_t offset;  // in symbols_
        uint32_t size;
        uint64_t count;
    };
    struct PairState {
        uint64_t count = 0;           // in all words now
        uint64_t queued = 0;          // the count of its valid entry in the queue; 0: none
        std::vector<uint32_t> words;  // every word that has the pair, and some that had it
    };
    struct Entry {
        uint64_t count, key;
        bool operator<(const Entry& other) const {
            return count != other.count ? count < other.count : key > other.key;
        }
    };

    static uint64_t key_of(int32_t left, int32_t right) {
        return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
    }
    void count_pairs(uint32_t word, bool add);
    void enqueue(uint64_t key, PairState& pair);

    std::vector<int32_t> symbols_;
    std::vector<Word> words_;
    std::unordered_map<uint64_t, PairState> pairs_;
    std::priority_queue<Entry> queue_;
    std::vector<uint64_t> grown_;  // keys to enqueue after a join
};

}  // namespace dropforge::data
