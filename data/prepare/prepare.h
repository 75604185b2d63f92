// Preparation of a data folder (shards, vocab.txt, dataset.json) from text files.
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
    std::optional<fs::path> vocabulary;  // a vocab.txt or tokenizer.json; if not given, one is trained
    int64_t train_vocabulary = 0;        // the size of a trained vocabulary
    int64_t alphabet = 0;                // the limit of its characters; 0: VocabTrainerOptions' default
    Normalization normalization;
    double validation_fraction = 0.01;  // share of the documents in the validation split
    uint64_t seed = 0;                  // of the choice of these documents
    bool any_ending = false;            // read files of unknown endings in folders as plain text
    ReadOptions read;
    SentenceBreak sentences = SentenceBreak::none;  // if any, the shards say where sentences begin
    uint64_t min_document_tokens = 1;               // shorter documents are dropped
    uint64_t shard_tokens = uint64_t{1} << 26;
    int threads = 1;         // number of threads that tokenize
    bool overwrite = false;  // replace the content of `out`
    bool quiet = false;
};

struct PrepareResult {
    Receipt receipt;
    bool already_there = false;  // `out` was complete, from the same text and options: nothing was done
    std::vector<std::string> notes =
        {};  // for the user: about the files read, a trained vocabulary, data that could not be removed
};

/// Prepares the data folder. The shards depend on text and options, not on the number of threads, and memory does not
/// grow with the input. After a kill `out` is incomplete, as dataset.json is written last, and the next call starts
/// again; with `overwrite`, it keeps its old data until the new data are complete. Error for unreadable or empty text,
/// text without a word of the vocabulary, a bad vocabulary or option, too little disk space, and an `out` that holds
/// something else or that another process is writing.
PrepareResult prepare(const PrepareOptions& options);

}  // namespace dropforge::data
