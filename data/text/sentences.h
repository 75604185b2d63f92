// Where sentences end in a text.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace dropforge::data {

/// What ends a sentence, beside its document's end.
enum class SentenceBreak : uint8_t {
    none,        // sentences are not asked for
    line,        // a line's end: text with one sentence a line, as BERT's own preparation takes it
    punctuation  // a blank line, or punctuation followed by white space and no small letter
};
inline constexpr std::array kSentenceBreakNames{"none", "line", "punctuation"};

/// Part of a text that belongs to one sentence.
struct SentencePart {
    std::string_view text;
    bool ends = false;  // the sentence is over; else it goes on in the text that follows
};

/// Cuts a text, itself part of one document, into its sentences. The first part goes on with what the text before has
/// left open; parts without a word are no sentence.
///
/// By punctuation, a sentence ends after `.`, `!`, `?`, `…` or several of these, with the quotation marks and brackets
/// that close there, where white space follows and after it no small letter of ASCII; after their ideographic forms
/// (`。`, `！`, `？`) wherever they are. The dot of an initial (one capital letter but I) or of an English title (Mr,
/// Mrs, Ms, Dr, Prof, St) ends none.
void split_sentences(std::string_view text, SentenceBreak how, std::vector<SentencePart>& parts);

}  // namespace dropforge::data
