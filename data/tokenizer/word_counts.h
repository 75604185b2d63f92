// A hash table of words and their numbers of occurrences, by open addressing, with the words in one buffer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dropforge::data {

class WordCounts {
  public:
    /// Adds occurrences of a word. Error for a word of more than 65535 bytes, or more than 4 GB of words.
    void add(std::string_view word, uint64_t count = 1);
    void add(const WordCounts& other);

    /// The number of different words.
    size_t size() const { return used_; }
    uint64_t count(std::string_view word) const;
    /// Removes all words with fewer than `least` occurrences, and returns their number.
    size_t prune(uint64_t least);

    struct Item {
        std::string_view word;
        uint64_t count;
    };
    /// All words in byte order. The views are valid until the next change.
    std::vector<Item> sorted() const&;
    std::vector<Item> sorted() && = delete;

  private:
    struct Slot {
        uint64_t count = 0;  // 0: free
        uint32_t offset = 0;
        uint16_t size = 0;
        uint16_t tag = 0;  // of the hash: most other words differ here already
    };

    std::string_view word_of(const Slot& slot) const { return std::string_view(bytes_).substr(slot.offset, slot.size); }
    size_t find(std::string_view word, uint64_t hash) const;
    void grow();

    std::vector<Slot> slots_ = std::vector<Slot>(1024);
    std::string bytes_;
    size_t used_ = 0;
};

}  // namespace dropforge::data
