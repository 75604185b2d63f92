#include "data/tokenizer/basic_tokenizer.h"

#include "data/tokenizer/character_table.h"

namespace dropforge::data {

namespace {

using Kind = CharacterTable::Kind;

/// A word growing code point by code point in BasicTokenizer's buffer, with canonical ordering of the marks that stay
/// (spacing marks with a combining class; all others with one are non-spacing and dropped).
class WordBuilder {
  public:
    WordBuilder(char* bytes, const Normalization& normalization) : bytes_(bytes), normalization_(normalization) {}

    bool empty() const { return count_ == 0 && waiting_ == 0; }

    void append(char32_t c) {
        if (++count_ <= kMaxWordCodePoints) size_ += write_utf8(c, bytes_ + size_);
    }

    /// Ends the run of marks that may still change places.
    void starter() {
        for (size_t i = 0; i < waiting_; ++i) append(marks_[std::min<size_t>(i, kMaxWordCodePoints - 1)].code_point);
        waiting_ = 0;
    }

    void append_sequence(char32_t c) {
        if (!normalization_.strip_accents) {  // then only İ is one
            for (const char32_t part : {U'i', U'\u0307'}) append(part);
            return;
        }
        const Decomposition parts = decompose(c);
        for (size_t i = 0; i < parts.size; ++i) {
            const char32_t part = parts.code_points[i];
            const int combining = combining_class(part);
            if (combining == 0) starter();
            if (is_nonspacing_mark(part)) continue;
            if (combining == 0) {
                append(cased(part));
            } else {
                add_mark({cased(part), combining});
            }
        }
    }

    void finish(Word& word) {
        starter();
        for (uint32_t i = size_; i < kRunBytes; ++i) bytes_[i] = 0;
        word = {bytes_, size_, count_ > kMaxWordCodePoints};
    }

  private:
    struct Mark {
        char32_t code_point;
        int combining;
    };

    char32_t cased(char32_t c) const { return normalization_.lower_case ? lower_case(c) : c; }
    void add_mark(Mark mark) {
        if (waiting_++ >= kMaxWordCodePoints) return;  // only its number matters: the word is too long
        size_t at = waiting_ - 1;
        for (; at > 0 && marks_[at - 1].combining > mark.combining; --at) marks_[at] = marks_[at - 1];
        marks_[at] = mark;
    }

    char* bytes_;
    const Normalization& normalization_;
    uint32_t size_ = 0;
    size_t count_ = 0, waiting_ = 0;
    std::array<Mark, kMaxWordCodePoints> marks_;
};

}  // namespace

BasicTokenizer::BasicTokenizer(const Normalization& normalization)
    : normalization_(normalization), table_(&CharacterTable::get(normalization)) {}

const char* BasicTokenizer::next_word(const char* p, const char* end, Word& word) {
    WordBuilder builder(word_.data(), normalization_);
    while (p < end) {
        const Decoded decoded = decode_utf8(p, end);
        const CharacterTable::Entry entry = (*table_)[decoded.code_point];
        const auto kind = static_cast<Kind>(entry.kind);
        if (kind == Kind::kSpace || kind == Kind::kAlone) {
            const bool ends_a_word = !builder.empty();
            if (!ends_a_word || kind == Kind::kSpace) p += decoded.size;
            if (!ends_a_word && kind == Kind::kAlone) {
                builder.append(decoded.code_point + static_cast<char32_t>(entry.shift));
            }
            break;
        }
        p += decoded.size;
        if (!entry.reorders) builder.starter();
        if (kind == Kind::kLetter) {
            builder.append(decoded.code_point + static_cast<char32_t>(entry.shift));
        } else if (kind == Kind::kSequence) {
            builder.append_sequence(decoded.code_point);
        }
    }
    builder.finish(word);
    return p;
}

size_t BasicTokenizer::safe_cut(std::string_view text) const {
    const char *begin = text.data(), *end = begin + text.size();
    for (const char* p = end; p-- > begin;) {
        // A byte that is no continuation byte always begins a code point, however invalid what stands before it.
        if ((static_cast<unsigned char>(*p) & 0xC0U) == 0x80) continue;
        const Decoded decoded = decode_utf8(p, end);
        const auto kind = static_cast<Kind>((*table_)[decoded.code_point].kind);
        if (kind == Kind::kSpace || kind == Kind::kAlone) return static_cast<size_t>(p - begin) + decoded.size;
    }
    return 0;
}

}  // namespace dropforge::data
