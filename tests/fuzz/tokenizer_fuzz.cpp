// Any bytes as text, cased and uncased.
#include "data/tokenizer/wordpiece.h"
#include "tests/fuzz/fuzzing.h"

using namespace dropforge;

namespace {

data::Vocabulary made_up_vocabulary() {
    std::vector<std::string> tokens = {"[PAD]", "[UNK]",  "[CLS]", "[SEP]", "[MASK]", "un",
                                       "##aff", "##able", "Ä",     "ä",     "漢"};
    for (char c = '!'; c <= '~'; ++c) {
        tokens.emplace_back(1, c);
        tokens.push_back(std::string("##") + c);
    }
    return data::Vocabulary(tokens);
}

void check(data::WordPiece& tokenizer, std::string_view text, int32_t size) {
    std::vector<int32_t> uncut, parts;
    std::vector<uint8_t> starts;
    tokenizer.encode(text, uncut, &starts);
    fuzzing::hold(starts.size() == uncut.size(), "each id has a word start or none");
    for (const int32_t id : uncut) fuzzing::hold(id >= 0 && id < size, "ids are of the vocabulary");
    const size_t cut = tokenizer.safe_cut(text);
    fuzzing::hold(cut <= text.size(), "a cut lies in the text");
    tokenizer.encode(text.substr(0, cut), parts);
    tokenizer.encode(text.substr(cut), parts);
    fuzzing::hold(parts == uncut, "a safe cut changes nothing");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const data::Vocabulary vocabulary = made_up_vocabulary();
    static data::WordPiece cased(vocabulary, data::kCased), uncased(vocabulary, data::kUncased);
    check(cased, fuzzing::text_of(data, size), vocabulary.size());
    check(uncased, fuzzing::text_of(data, size), vocabulary.size());
    return 0;
}
