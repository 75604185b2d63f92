// Small data folders made by hand, for the tests of what reads them.
#pragma once

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/philox.h"
#include "data/shards/receipt.h"
#include "data/shards/shard.h"
#include "data/tokenizer/wordpiece.h"
#include "tests/support/temporary_folder.h"

namespace dropforge::test {

/// What the Error of a call says; "" if there was none.
template <typename Call>
std::string error_of(Call&& call) {
    try {
        call();
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

inline constexpr data::SpecialIds kSpecial{0, 1, 2, 3, 4};

struct Document {
    std::vector<int32_t> ids;
    std::vector<uint8_t> word_starts, sentence_starts = {};  // sentence_starts: of all documents or of none

    data::TokenRun tokens() const { return {ids, word_starts, sentence_starts}; }
};

/// Documents of 1 … longest random tokens other than the special ones.
inline std::vector<Document> random_documents(size_t count, uint32_t longest, int32_t vocabulary_size, uint64_t seed) {
    PhiloxStream random(seed, 0);
    std::vector<Document> documents(count);
    for (Document& document : documents) {
        const uint32_t length = 1 + random.below(longest);
        for (uint32_t i = 0; i < length; ++i) {
            document.ids.push_back(5 + static_cast<int32_t>(random.below(static_cast<uint32_t>(vocabulary_size) - 5)));
            document.word_starts.push_back(i == 0 || random.below(3) > 0 ? 1 : 0);
        }
    }
    return documents;
}

/// A whole data folder with the documents in its train split, cut into shards of shard_tokens wherever that is.
inline void write_dataset(const fs::path& folder, const std::vector<Document>& documents, int32_t vocabulary_size,
                          uint64_t shard_tokens) {
    fs::create_directories(folder);
    std::string vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
    for (int32_t id = 5; id < vocabulary_size; ++id) vocabulary += fmt::format("t{}\n", id);
    write_text(folder / "vocab.txt", vocabulary);
    data::Receipt receipt;
    receipt.vocabulary_size = vocabulary_size;
    receipt.vocabulary_hash = data::hash_file(folder / "vocab.txt");
    const data::ShardVocabulary common{vocabulary_size, kSpecial.unk, receipt.vocabulary_hash};
    std::unique_ptr<data::ShardWriter> writer;
    std::string name;
    const auto close = [&] {
        const data::ShardHeader header = writer->close({});
        receipt.tokens += header.tokens;
        receipt.train.push_back({name, header.file_bytes, header.tokens, header.documents, header.header_checksum});
    };
    for (const Document& document : documents) {
        for (size_t done = 0; done < document.ids.size();) {
            if (writer == nullptr || writer->tokens() == shard_tokens) {
                const bool continues = writer != nullptr && writer->document_open();
                if (writer != nullptr) close();
                name = fmt::format("train-{:05}.shard", receipt.train.size());
                writer = std::make_unique<data::ShardWriter>(folder / name, common, continues,
                                                             !document.sentence_starts.empty());
            }
            const size_t part = std::min<uint64_t>(document.ids.size() - done, shard_tokens - writer->tokens());
            writer->append(document.tokens().part(done, part));
            done += part;
        }
        writer->end_document();
    }
    if (writer != nullptr) close();
    receipt.documents = receipt.train_documents = documents.size();
    receipt.save(folder);
}

}  // namespace dropforge::test
