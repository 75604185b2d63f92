// The pieces of a vocabulary in a double-array trie over bytes (Aoe 1989), in which a step is a load and a comparison.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dropforge::data {

class PieceTrie {
  public:
    /// Builds the trie; a piece's id is its index. "##x" is the piece x inside a word.
    explicit PieceTrie(const std::vector<std::string>& pieces);

    struct Match {
        int32_t id = -1;    // −1: none
        uint32_t size = 0;  // bytes
    };

    /// The longest piece at the start of `text`; with `inside`, of the pieces that continue a word.
    Match longest(std::string_view text, bool inside) const {
        Match match;
        int32_t node = inside ? kInside : kStart;
        for (uint32_t i = 0; i < text.size(); ++i) {
            const int32_t next = units_[static_cast<size_t>(node)].base + static_cast<unsigned char>(text[i]);
            if (units_[static_cast<size_t>(next)].parent != node) break;
            node = next;
            if (units_[static_cast<size_t>(node)].id >= 0) match = {units_[static_cast<size_t>(node)].id, i + 1};
        }
        return match;
    }

  private:
    struct Unit {
        int32_t base = 0;  // the child for byte b is at base + b; a leaf's 0 leads to units that are no children
        int32_t parent = -1;
        int32_t id = -1;
    };
    using Piece = std::pair<std::string_view, int32_t>;

    void build(int32_t root, std::vector<Piece> pieces);
    int32_t place(const std::vector<uint8_t>& bytes);

    static constexpr int32_t kStart = 256, kInside = 257, kFirstFree = 258;
    std::vector<Unit> units_;
    size_t search_from_ = kFirstFree;
};

}  // namespace dropforge::data
