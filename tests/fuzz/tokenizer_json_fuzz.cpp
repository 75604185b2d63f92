// A model folder's tokenizer.json, alone and beside a vocab.txt.
#include "model/checkpoint/tokenizer_files.h"
#include "tests/fuzz/fuzzing.h"

using namespace dropforge;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzzing::write("tokenizer.json", fuzzing::text_of(data, size));
    fuzzing::write("tokenizer_config.json", R"({"tokenizer_class": "TokenizersBackend"})");
    fuzzing::taken([&] {
        const ModelTokenizer tokenizer = load_tokenizer(fuzzing::folder());
        fuzzing::hold(tokenizer.size() >= tokenizer.vocabulary.size(), "added tokens come on top of the vocabulary");
        for (int32_t id = 0; id < tokenizer.size(); ++id)
            fuzzing::hold(!tokenizer.token(id).empty(), "each id has a token");
        data::WordPiece words(tokenizer.vocabulary, tokenizer.normalization);
        std::vector<int32_t> ids;
        data::AddedTokens(tokenizer.added, tokenizer.normalization)
            .split(
                "A [MASK] café, 漢字 or zz9[SEP]", [&](std::string_view part) { words.encode(part, ids); },
                [&](int32_t id) { ids.push_back(id); });
        for (const int32_t id : ids) fuzzing::hold(id >= 0 && id < tokenizer.size(), "ids have tokens");
    });
    return 0;
}
