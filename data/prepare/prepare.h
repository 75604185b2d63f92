// Text files to a data folder: shards, vocab.txt and dataset.json.
#pragma once

#include <optional>
#include <vector>

#include "data/shards/receipt.h"
#include "data/text/sentences.h"
#include "data/text/text_reader.h"
#include "data/tokenizer/normalization.h"

namespace dropforge::data {

struct PrepareOptions {
    std::vector<fs::path> text;          // files and folders
    fs::path out;                        // the data folder
    std::optional<fs::path> vocabulary;  // a vocab.txt or tokenizer.json, or
    int64_t train_vocabulary = 0;        // the size of one to be made from the text,
    int64_t alphabet = 0;                // and its characters at most; 0: VocabTrainerOptions says how many
    Normalization normalization;
    double validation_fraction = 0.01;  // of the documents
    uint64_t seed = 0;                  // decides which documents
    bool any_ending = false;            // of files in folders: those without a known ending are plain text
    ReadOptions read;
    SentenceBreak sentences = SentenceBreak::none;  // if any, the shards say where sentences begin
    uint64_t min_document_tokens = 1;               // shorter documents are dropped
    uint64_t shard_tokens = uint64_t{1} << 26;
    int threads = 1;         // that tokenize
    bool overwrite = false;  // what `out` holds
    bool quiet = false;
};

struct PrepareResult {
    Receipt receipt;
    bool already_there = false;  // `out` was whole, from the same text and options: nothing was done
    std::vector<std::string> notes =
        {};  // what a user should know: of the files read, of a trained vocabulary, of data that could not be removed
};

/// The shards depend on text and options, never on the number of threads. Killed at any time, `out` is not whole
/// (dataset.json is written last) and the next call begins anew; with `overwrite`, it holds its old data until the new
/// are whole. Memory does not grow with the input. Throws Error for unreadable or empty text, or text of which
/// no word is in the vocabulary, a bad vocabulary or option, too little disk, an `out` that holds something else, or
/// that another process is writing.
PrepareResult prepare(const PrepareOptions& options);

}  // namespace dropforge::data
