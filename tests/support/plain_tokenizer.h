// The oracle of the tokenizer's tests: BERT's rules written down without a thought of speed.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/tokenizer/unicode.h"
#include "data/tokenizer/wordpiece.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

namespace dropforge::test {

using Ids = std::vector<int32_t>;

/// A small one made for the cases of tests/golden/tokenizer.
inline const data::Vocabulary& vocabulary() {
    static const data::Vocabulary loaded = data::Vocabulary::load(fs::path(kTestData) / "tokenizer/vocab.txt");
    return loaded;
}

/// The rules of basic tokenization and WordPiece, one after another over the whole text.
class PlainTokenizer {
  public:
    explicit PlainTokenizer(const data::Normalization& normalization) : normalization_(normalization) {
        for (int32_t id = 0; id < vocabulary().size(); ++id) ids_[vocabulary().token(id)] = id;
    }

    Ids encode(std::string_view text) const {
        std::u32string normalised = clean(text);
        if (normalization_.strip_accents) normalised = stripped(decomposed(normalised));
        if (normalization_.lower_case) normalised = lower(normalised);
        Ids ids;
        std::u32string word;
        normalised += U' ';
        for (const char32_t& c : normalised) {
            if (c != ' ' && !data::is_punctuation(c)) {
                word += c;
                continue;
            }
            add_word(word, ids);
            word.clear();
            if (c != ' ') add_word({&c, 1}, ids);
        }
        return ids;
    }

  private:
    static bool is_ideograph(char32_t c) {
        static constexpr char32_t kRanges[][2] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},
                                                  {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F},
                                                  {0x2B920, 0x2CEAF}, {0x2F800, 0x2FA1F}};
        return std::ranges::any_of(kRanges, [c](const auto& range) { return c >= range[0] && c <= range[1]; });
    }
    std::u32string clean(std::string_view text) const {
        std::u32string result;
        for (const char *p = text.data(), *end = p + text.size(); p < end;) {
            const auto [c, size] = data::decode_utf8(p, end);
            p += size;
            const bool space = c == '\t' || c == '\n' || c == '\r' || data::is_separator(c);
            if (space) {
                result += U' ';
            } else if (c != 0 && c != data::kReplacement && !data::is_control(c)) {
                result += normalization_.split_ideographs && is_ideograph(c) ? std::u32string{U' ', c, U' '}
                                                                             : std::u32string{c};
            }
        }
        return result;
    }
    static std::u32string decomposed(const std::u32string& text) {
        std::u32string result;
        for (const char32_t c : text) {
            const data::Decomposition parts = data::decompose(c);
            result.append(parts.code_points.data(), parts.size);
        }
        for (size_t begin = 0; begin < result.size(); ++begin) {  // order each run of non-starters
            size_t end = begin;
            while (end < result.size() && data::combining_class(result[end]) != 0) ++end;
            std::stable_sort(
                result.begin() + static_cast<ptrdiff_t>(begin), result.begin() + static_cast<ptrdiff_t>(end),
                [](char32_t a, char32_t b) { return data::combining_class(a) < data::combining_class(b); });
            begin = end;
        }
        return result;
    }
    static std::u32string stripped(const std::u32string& text) {
        std::u32string result;
        for (const char32_t c : text)
            if (!data::is_nonspacing_mark(c)) result += c;
        return result;
    }
    static std::u32string lower(const std::u32string& text) {
        std::u32string result;
        for (const char32_t c : text) result += c == U'\u0130' ? U"i\u0307" : std::u32string{data::lower_case(c)};
        return result;
    }
    static std::string utf8(std::u32string_view text) {
        std::string result;
        for (const char32_t c : text) {
            char bytes[4];
            result.append(bytes, data::write_utf8(c, bytes));
        }
        return result;
    }
    void add_word(std::u32string_view word, Ids& ids) const {
        if (word.empty()) return;
        Ids found;
        for (size_t begin = 0; begin < word.size() && word.size() <= 100;) {
            size_t end = word.size();
            auto match = ids_.end();
            for (; end > begin; --end) {
                match = ids_.find((begin > 0 ? "##" : "") + utf8(word.substr(begin, end - begin)));
                if (match != ids_.end()) break;
            }
            if (match == ids_.end()) {
                found.clear();
                break;
            }
            found.push_back(match->second);
            begin = end;
        }
        if (found.empty()) found = {vocabulary().special().unk};
        ids.insert(ids.end(), found.begin(), found.end());
    }

    data::Normalization normalization_;
    std::unordered_map<std::string, int32_t> ids_;
};

}  // namespace dropforge::test
