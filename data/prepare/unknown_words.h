// The explanation of many [UNK] in a text.
#pragma once

#include <span>
#include <string>

#include "data/text/text_reader.h"
#include "data/tokenizer/wordpiece.h"

namespace dropforge::data {

/// The likeliest cause of the [UNK], with evidence from the beginnings of some of the files: "the most frequent: Der
/// Die In …; without --cased it would be 0.1 %: the vocabulary is uncased".
std::string why_unknown(std::span<const TextFile> files, const ReadOptions& read, const Vocabulary& vocabulary,
                        const Normalization& normalization);

}  // namespace dropforge::data
