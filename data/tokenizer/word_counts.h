// A table of words with their numbers of occurrences: open addressing, the words one after another in one buffer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dropforge::data {

class WordCounts {
  public:
    /// Words of up to 65535 bytes; all words together up to 4 GB (throws Error).
    void add(std::string_view word, uint64_t count = 1);
    void add(const WordCounts& other);

    /// Different words.
    size_t size() const { return used_; }
    uint64_t count(std::string_view word) const;
    /// Forgets all words with fewer than `least` occurrences; returns how many words these were.
    size_t prune(uint64_t least);

    struct Item {
        std::string_view word;
        uint64_t count;
    };
    /// All words in byte order, whatever the order they came in. Views are valid until the next change.
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
