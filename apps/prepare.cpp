// dropforge prepare: text to a data folder.
#include "data/prepare/prepare.h"

#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "base/command_line.h"
#include "base/progress.h"
#include "devices/device.h"

namespace dropforge {

namespace {

struct Arguments {
    data::PrepareOptions options;
    std::string vocabulary, documents = "blank-line";
};

void run(Arguments& arguments, const CommonOptions& common) {
    data::PrepareOptions& options = arguments.options;
    if (arguments.vocabulary.empty() && options.train_vocabulary == 0)
        throw CLI::RequiredError("--vocab or --train-vocab");
    if (!arguments.vocabulary.empty()) options.vocabulary = arguments.vocabulary;
    options.read.breaks = arguments.documents == "file" ? data::DocumentBreak::file : data::DocumentBreak::blank_line;
    options.threads = thread_count(common.threads);
    options.quiet = common.quiet;
    const auto begin = std::chrono::steady_clock::now();
    const data::PrepareResult result = data::prepare(options);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const data::Receipt& receipt = result.receipt;
    if (!common.quiet)
        for (const std::string& note : result.notes) fmt::print(stderr, "note: {}\n", note);
    if (common.json) {
        nlohmann::json json = receipt.json();
        json["folder"] = options.out.string();
        json["already_there"] = result.already_there;
        json["seconds"] = seconds;
        json["peak_rss_bytes"] = peak_rss_bytes();
        fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));  // a path is any bytes
        return;
    }
    if (result.already_there)
        fmt::print("{} is complete and made from the same text and options: nothing to do\n", options.out.string());
    fmt::print("{}", receipt.text());
    if (!result.already_there) {
        fmt::print("run          {:.1f} s, {:.1f} MB/s of text, peak RSS {:.0f} MB\n", seconds,
                   static_cast<double>(receipt.text_bytes) / 1e6 / seconds,
                   static_cast<double>(peak_rss_bytes()) / 1e6);
    }
    if (!common.quiet && receipt.validation.empty() && options.validation_fraction > 0) {
        fmt::print(
            stderr,
            "note: no document fell into the validation split (raise --validation-fraction, or give more documents)\n");
    }
}

}  // namespace

void add_prepare(CLI::App& app, CommonOptions& common) {
    CLI::App* command = app.add_subcommand(
        "prepare",
        "Turn text into a data folder for pretraining: shards of token ids, and a vocabulary\n\n"
        "Reads plain text, Markdown, HTML and JSON Lines, compressed or not. Files in folders that are no text are "
        "left\n"
        "out, and counted by reason in the output and in dataset.json. Writes train-N.shard, validation-N.shard,\n"
        "vocab.txt and dataset.json. Does nothing if the folder already has the data of the same text and options.");
    auto arguments = std::make_shared<Arguments>();
    data::PrepareOptions& options = arguments->options;
    command
        ->add_option("--text", options.text,
                     "Files and folders to read: .txt, .md, .html, .jsonl, each also with .gz, .bz2, .xz or .zst")
        ->required()
        ->type_name("PATH");
    command->add_flag("--any-ending", options.any_ending,
                      "Read files of unknown endings, or without one, as plain text");
    command
        ->add_option("--json-key", options.read.json_key,
                     "Key of the text in each line of a .jsonl file; lines without it are left out and counted")
        ->type_name("KEY")
        ->capture_default_str();
    command->add_option("--out", options.out, "The data folder to write")->required()->type_name("FOLDER");
    command->option_defaults()->group("Vocabulary");
    command
        ->add_option(
            "--vocab", arguments->vocabulary,
            "Use this vocabulary: a vocab.txt, or a tokenizer.json of a BERT with the switches given here; this "
            "or --train-vocab is required")
        ->type_name("FILE");
    command->add_option("--train-vocab", options.train_vocabulary, "Train a vocabulary of this many tokens on the text")
        ->transform(whole_number<int64_t>(1, 1 << 30))
        ->excludes("--vocab");
    command
        ->add_option(
            "--alphabet", options.alphabet,
            "Largest number of characters in a trained vocabulary (default: 1000, or more until 99.95 % of the text is "
            "covered)")
        ->transform(whole_number<int64_t>(1, 1 << 30))
        ->needs("--train-vocab");
    add_normalization(*command, options.normalization);
    command->option_defaults()->group("Options");
    command
        ->add_option("--validation-fraction", options.validation_fraction,
                     "Share of the documents in the validation split")
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str();
    // Paragraphs as documents cost a [SEP] each (about 1 % of the tokens of a novel) and give a validation split that
    // is like the text even if it is one book; books as documents would make the split one book or none. Files made for
    // BERT have a blank line between their documents.
    command->add_option("--documents", arguments->documents, "End of a document in plain text")
        ->check(CLI::IsMember({"blank-line", "file"}))
        ->capture_default_str();
    add_choice(*command, "--sentences", options.sentences, data::kSentenceBreakNames,
               "Store where sentences begin, for sentence pairs: after line ends or punctuation");
    command->add_option("--min-document-tokens", options.min_document_tokens, "Drop documents with fewer tokens")
        ->transform(whole_number<uint64_t>(1))
        ->capture_default_str();
    command->add_option("--shard-tokens", options.shard_tokens, "Tokens in a shard")
        ->transform(whole_number<uint64_t>(1))
        ->capture_default_str();
    command->add_option("--seed", options.seed, "Seed of the choice of validation documents")
        ->transform(whole_number<uint64_t>(0))
        ->capture_default_str();
    command->add_flag("--overwrite", options.overwrite,
                      "Replace the data that the folder holds, once the new data are complete");
    add_common(*command, common);
    command->footer(
        "Examples:\n"
        "  dropforge prepare --text books/ --out data --train-vocab 8000\n"
        "  dropforge prepare --text wiki.txt.zst --out data --vocab vocab.txt --validation-fraction 0.001");
    command->callback([arguments, &common] { run(*arguments, common); });
}

}  // namespace dropforge
