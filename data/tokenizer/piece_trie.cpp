#include "data/tokenizer/piece_trie.h"

#include <algorithm>

namespace dropforge::data {

PieceTrie::PieceTrie(const std::vector<std::string>& pieces) {
    std::vector<Piece> start, inside;
    for (size_t id = 0; id < pieces.size(); ++id) {
        const std::string_view piece = pieces[id];
        // "##" alone continues a word by nothing, so it can only stand at a start (where no word has it: '#' splits).
        const bool continues = piece.size() > 2 && piece.starts_with("##");
        (continues ? inside : start).emplace_back(continues ? piece.substr(2) : piece, static_cast<int32_t>(id));
    }
    units_.resize(kFirstFree + 256);
    build(kStart, std::move(start));
    build(kInside, std::move(inside));
    units_.resize(units_.size() + 256);  // base + byte stays inside for every node
}

/// The lowest base at which all these children (ascending bytes) have free units.
int32_t PieceTrie::place(const std::vector<uint8_t>& bytes) {
    size_t taken = 0;
    for (size_t first = search_from_;; ++first) {
        units_.resize(std::max(units_.size(), first + 256));
        if (units_[first].parent >= 0) {
            ++taken;
            continue;
        }
        const size_t base = first - bytes[0];
        const auto is_free = [&](uint8_t byte) { return units_[base + byte].parent < 0; };
        if (!std::ranges::all_of(bytes, is_free)) continue;
        // Start later next time once what was passed over is nearly full: keeps the search linear (Darts' heuristic).
        if (taken * 20 >= (first - search_from_ + 1) * 19) search_from_ = first;
        return static_cast<int32_t>(base);
    }
}

void PieceTrie::build(int32_t root, std::vector<Piece> pieces) {
    std::ranges::sort(pieces);
    struct Range {
        int32_t node;
        size_t begin, end, depth;  // pieces [begin, end) share their first `depth` bytes, which lead to `node`
    };
    std::vector<Range> open = {{root, 0, pieces.size(), 0}};
    std::vector<uint8_t> bytes;
    std::vector<size_t> begins;
    while (!open.empty()) {
        Range range = open.back();
        open.pop_back();
        if (range.begin < range.end && pieces[range.begin].first.size() == range.depth) {
            units_[static_cast<size_t>(range.node)].id = pieces[range.begin++].second;
        }
        if (range.begin == range.end) continue;
        bytes.clear();
        begins.clear();
        for (size_t i = range.begin; i < range.end; ++i) {
            const auto byte = static_cast<uint8_t>(pieces[i].first[range.depth]);
            if (bytes.empty() || bytes.back() != byte) {
                bytes.push_back(byte);
                begins.push_back(i);
            }
        }
        begins.push_back(range.end);
        const int32_t base = place(bytes);
        units_[static_cast<size_t>(range.node)].base = base;
        for (size_t i = 0; i < bytes.size(); ++i) {
            units_[static_cast<size_t>(base) + bytes[i]].parent = range.node;
            open.push_back({base + bytes[i], begins[i], begins[i + 1], range.depth + 1});
        }
    }
}

}  // namespace dropforge::data
