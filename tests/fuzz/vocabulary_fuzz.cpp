// vocab.txt.
#include "data/tokenizer/wordpiece.h"
#include "tests/fuzz/fuzzing.h"

using namespace dropforge;
using data::Vocabulary;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const fs::path path = fuzzing::write("vocab.txt", fuzzing::text_of(data, size));
    fuzzing::taken([&] {
        const Vocabulary vocabulary = Vocabulary::load(path);
        vocabulary.save(path);
        const Vocabulary again = Vocabulary::load(path);
        fuzzing::hold(again.size() == vocabulary.size(), "it reads back as long as it was written");
        for (int32_t id = 0; id < vocabulary.size(); ++id)
            fuzzing::hold(again.token(id) == vocabulary.token(id), "it reads back as it was written");
        std::vector<int32_t> ids;
        data::WordPiece(vocabulary, data::kUncased).encode("The word, [UNK] or not; ein Wörtchen 漢字", ids);
        for (const int32_t id : ids) fuzzing::hold(id >= 0 && id < vocabulary.size(), "ids are of the vocabulary");
    });
    return 0;
}
