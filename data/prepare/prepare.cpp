#include "data/prepare/prepare.h"

#include <xxhash.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/progress.h"
#include "data/prepare/document_sink.h"
#include "data/prepare/pipeline.h"
#include "data/prepare/unknown_words.h"
#include "data/shards/data_folder.h"
#include "data/shards/dataset.h"
#include "data/tokenizer/tokenizer_json.h"
#include "data/tokenizer/vocab_trainer.h"
#include "data/tokenizer/wordpiece.h"

namespace dropforge::data {

namespace {

void check(const PrepareOptions& options) {
    require(options.vocabulary.has_value() != (options.train_vocabulary > 0),
            "give either a vocabulary or the size of one to train");
    require(options.alphabet == 0 || options.train_vocabulary > 0,
            "the size of an alphabet is for a vocabulary that is trained");
    require(options.validation_fraction >= 0 && options.validation_fraction < 1,
            "validation fraction {}: expected at least 0 and below 1", options.validation_fraction);
    require(options.min_document_tokens >= 1, "min document tokens {}: expected at least 1",
            options.min_document_tokens);
    require(options.shard_tokens >= 1, "shard tokens {}: expected at least 1", options.shard_tokens);
    require(options.threads >= 1, "threads {}: expected at least 1", options.threads);
    std::error_code ignored;
    require(
        !options.vocabulary || !fs::equivalent(fs::absolute(*options.vocabulary).parent_path(), options.out, ignored),
        "{}: lies in the output folder, where it would be written over: move it",
        options.vocabulary ? options.vocabulary->string() : "");
}

/// Changes when a file is added, renamed or written to. Cheap: reads no text.
std::string fingerprint(const std::vector<TextFile>& files) {
    std::string list;
    for (const TextFile& file : files)
        list += fmt::format("{}\n{}\n{}\n", fs::absolute(file.path).string(), file.size, file.modified);
    return fmt::format("{} files, {}", files.size(), hex(XXH64(list.data(), list.size(), 0)));
}

/// The settings that determine the data. Options of later versions have a key only if they are set, so that older data
/// are still recognised.
std::map<std::string, std::string> made_from(const PrepareOptions& options, const std::vector<TextFile>& files) {
    const Normalization& how = options.normalization;
    std::map<std::string, std::string> settings = {
        {"text", fingerprint(files)},
        {"vocabulary", options.vocabulary ? "checksum " + hex(hash_file(*options.vocabulary))
                                          : fmt::format("trained, {} tokens", options.train_vocabulary)},
        {"cased", how.lower_case ? "no" : "yes"},
        {"validation_fraction", fmt::format("{}", options.validation_fraction)},
        {"seed", fmt::format("{}", options.seed)},
        {"documents", options.read.breaks == DocumentBreak::file ? "file" : "blank-line"},
        {"min_document_tokens", fmt::format("{}", options.min_document_tokens)},
        {"shard_tokens", fmt::format("{}", options.shard_tokens)}};
    if (options.read.json_key != ReadOptions().json_key) settings["json_key"] = options.read.json_key;
    if (options.alphabet > 0) settings["alphabet"] = fmt::format("{} characters", options.alphabet);
    if (how.strip_accents != how.lower_case) settings["strip_accents"] = how.strip_accents ? "yes" : "no";
    if (!how.split_ideographs) settings["tokenize_chinese_chars"] = "no";
    if (options.sentences != SentenceBreak::none)
        settings["sentences"] = kSentenceBreakNames[static_cast<size_t>(options.sentences)];
    return settings;
}

uint64_t total_size(const std::vector<TextFile>& files) {
    uint64_t sum = 0;
    for (const TextFile& file : files) sum += file.size;
    return sum;
}

/// Refuses at once what would fail after hours. An estimate: English has 4 to 5 bytes a token, text shrinks to a third
/// or less in .gz and .zst.
void check_disk(const fs::path& out, const std::vector<TextFile>& files, int32_t vocabulary_size) {
    double bytes = 0;
    for (const TextFile& file : files) bytes += static_cast<double>(file.size) * (file.codec == Codec::none ? 1 : 4);
    const double token_bytes = vocabulary_size <= 1 << 16 ? 2.125 : 4.125;
    require_free_disk(out, static_cast<uint64_t>(bytes / 4 * token_bytes) + (uint64_t{1} << 20));
}

/// A first pass over all of the text, validation included: a vocabulary is fixed before the split is known, as it is in
/// practice.
TrainedVocabulary train_vocabulary(const PrepareOptions& options, const std::vector<TextFile>& files) {
    struct Slot {
        TextPiece piece;
        WordCounts counts;
    };
    VocabTrainerOptions trainer_options{.normalization = options.normalization};
    if (options.alphabet > 0) trainer_options.alphabet_limit = static_cast<size_t>(options.alphabet);
    VocabTrainer trainer(trainer_options);
    TextReader reader(files, options.read);
    Progress progress("count words", total_size(files), ProgressUnit::bytes, options.quiet);
    uint64_t block = 0;
    run_pipeline<Slot>(
        options.threads, [&](Slot& slot) { return reader.next(slot.piece); },
        [&] {
            return [&trainer](Slot& slot) {
                make_text(slot.piece);
                slot.counts = trainer.count(slot.piece.text);
            };
        },
        [&](Slot& slot) {
            trainer.add(block++, std::move(slot.counts));
            progress.update(slot.piece.position);
        });
    progress.finish(fmt::format("{} different words", trainer.words()));
    return trainer.train(static_cast<size_t>(options.train_vocabulary));
}

/// What a user should know who asked for `requested` tokens.
std::vector<std::string> notes_on(const TrainedVocabulary& trained, int64_t requested) {
    std::vector<std::string> notes;
    if (trained.tokens.size() < static_cast<size_t>(requested))
        notes.push_back(fmt::format("the vocabulary has {} tokens, not {}: the text gives no more",
                                    trained.tokens.size(), requested));
    if (trained.characters < trained.text_characters) {
        notes.push_back(fmt::format(
            "the vocabulary has {} of the text's {} characters, which are {:.3f} % of it: words with others are [UNK]",
            trained.characters, trained.text_characters, 100 * trained.coverage));
    }
    return notes;
}

/// A piece of text and what became of it.
struct Slot {
    struct Part {
        size_t tokens;
        bool has_text, ends;
        bool ends_sentence;  // what follows the last token, or the part before if there is none, begins a sentence
    };
    TextPiece piece;
    std::vector<int32_t> ids;
    std::vector<uint8_t> word_starts, sentence_starts;  // sentence_starts: empty if not asked for
    std::vector<DocumentPart> texts;
    std::vector<SentencePart> sentences;
    std::vector<Part> parts;

    TokenRun tokens() const { return {ids, word_starts, sentence_starts}; }
};

/// Encodes a part of a document and marks where sentences begin. Returns whether its end is also a sentence's.
bool tokenize_sentences(WordPiece& tokenizer, std::string_view text, SentenceBreak how, Slot& slot) {
    split_sentences(text, how, slot.sentences);
    bool ended = false;
    for (const SentencePart& sentence : slot.sentences) {
        const size_t before = slot.ids.size();
        tokenizer.encode(sentence.text, slot.ids, &slot.word_starts);
        slot.sentence_starts.resize(slot.ids.size(), 0);
        if (slot.ids.size() > before) slot.sentence_starts[before] = std::exchange(ended, false) ? 1 : 0;
        ended |= sentence.ends;
    }
    return ended;
}

void tokenize(WordPiece& tokenizer, SentenceBreak sentences, Slot& slot) {
    make_text(slot.piece);
    split_documents(slot.piece, slot.texts);
    slot.ids.clear();
    slot.word_starts.clear();
    slot.sentence_starts.clear();
    slot.parts.clear();
    for (const DocumentPart& part : slot.texts) {
        const size_t before = slot.ids.size();
        bool ends_sentence = false;
        if (sentences == SentenceBreak::none) {
            tokenizer.encode(part.text, slot.ids, &slot.word_starts);
        } else {
            ends_sentence = tokenize_sentences(tokenizer, part.text, sentences, slot);
        }
        const bool has_text = part.text.find_first_not_of(" \t\r\n") != std::string_view::npos;
        slot.parts.push_back({slot.ids.size() - before, has_text, part.ends, ends_sentence});
    }
}

/// Returns the notes of the files.
std::vector<std::string> write_shards(const PrepareOptions& options, const std::vector<TextFile>& files,
                                      const Vocabulary& vocabulary, Receipt& receipt) {
    const int32_t unk = vocabulary.special().unk;
    DocumentSink sink(options, {vocabulary.size(), unk, receipt.vocabulary_hash}, receipt);
    const WordPiece tokenizer(vocabulary, options.normalization);
    TextReader reader(files, options.read);
    Progress progress("tokenize", receipt.file_bytes, ProgressUnit::bytes, options.quiet);
    bool sentence_ended = true;  // the next token begins one
    run_pipeline<Slot>(
        options.threads, [&](Slot& slot) { return reader.next(slot.piece); },
        [&] {
            return [encoder = WordPiece(tokenizer), how = options.sentences](Slot& slot) mutable {
                tokenize(encoder, how, slot);
            };
        },
        [&](Slot& slot) {
            receipt.bytes += slot.piece.bytes;
            receipt.text_bytes += slot.piece.text.size();
            receipt.invalid_bytes += slot.piece.invalid_bytes;
            receipt.left_out.add(slot.piece.left_out);
            receipt.tokens += slot.ids.size();
            receipt.words += static_cast<uint64_t>(std::ranges::count(slot.word_starts, 1));
            receipt.unknown_tokens += static_cast<uint64_t>(std::ranges::count(slot.ids, unk));
            size_t begin = 0;
            for (const Slot::Part& part : slot.parts) {
                const bool marks = !slot.sentence_starts.empty() && part.tokens > 0;
                if (marks && std::exchange(sentence_ended, false)) slot.sentence_starts[begin] = 1;
                sentence_ended |= part.ends_sentence || part.ends;
                sink.append(slot.tokens().part(begin, part.tokens), part.has_text);
                if (part.ends) sink.end_document();
                begin += part.tokens;
            }
            progress.update(slot.piece.position);
        });
    sink.finish(vocabulary);
    progress.finish(fmt::format("{} tokens", receipt.tokens));
    return reader.notes();
}

/// A text that the vocabulary does not fit is refused where it has not one word of it, else noted.
void check_unknown(const PrepareOptions& options, const std::vector<TextFile>& files, const Vocabulary& vocabulary,
                   PrepareResult& result) {
    constexpr double kMuch = 0.05;
    const uint64_t unknown = result.receipt.unknown_tokens, tokens = result.receipt.tokens;
    const double share = static_cast<double>(unknown) / static_cast<double>(tokens);
    if (share <= kMuch) return;
    const std::string why = result.receipt.trained
                                ? "the vocabulary that was made of them has too few characters (--alphabet)"
                                : why_unknown(files, options.read, vocabulary, options.normalization);
    require(unknown < tokens, "all of the {} tokens are [UNK]: {}", tokens, why);
    result.notes.push_back(fmt::format("{:.1f} % of the tokens are [UNK]: {}", 100 * share, why));
}

}  // namespace

PrepareResult prepare(const PrepareOptions& options) {
    check(options);
    TextFiles text = list_text_files(options.text, {options.any_ending, options.read.json_key, options.out});
    std::optional<Vocabulary> vocabulary;
    if (options.vocabulary) vocabulary = load_vocabulary(*options.vocabulary, options.normalization);
    PrepareResult result;
    Receipt& receipt = result.receipt;
    receipt.made_from = made_from(options, text.files);

    DataFolder folder(options.out);
    if (std::optional<Receipt> existing = folder.claim(receipt.made_from, options.overwrite)) {
        for (const Split split : {Split::train, Split::validation})
            Dataset(options.out, split);  // throws if a shard is gone or damaged
        return {*existing, true, folder.release()};
    }
    check_contents(text);
    const std::vector<TextFile>& files = text.files;
    receipt.left_out = text.left_out;
    PrepareOptions placed = options;
    placed.out = folder.place();
    check_disk(
        options.out, files,
        vocabulary ? vocabulary->size() : static_cast<int32_t>(std::min<int64_t>(options.train_vocabulary, 1 << 30)));
    if (!vocabulary) {
        const TrainedVocabulary trained = train_vocabulary(options, files);
        result.notes = notes_on(trained, options.train_vocabulary);
        receipt.trained = {static_cast<uint64_t>(options.train_vocabulary), trained.characters, trained.coverage};
        vocabulary.emplace(trained.tokens);
    }
    const fs::path vocabulary_path = placed.out / "vocab.txt";
    vocabulary->save(vocabulary_path);
    receipt.vocabulary_size = vocabulary->size();
    receipt.vocabulary_hash = hash_file(vocabulary_path);
    receipt.normalization = options.normalization;
    receipt.files = files.size();
    receipt.file_bytes = total_size(files);
    std::ranges::move(write_shards(placed, files, *vocabulary, receipt), std::back_inserter(result.notes));
    require(receipt.tokens > 0, "{}: {} files, {} bytes, but not one token", options.text.front().string(),
            files.size(), receipt.bytes);
    check_unknown(options, files, *vocabulary, result);
    require(!receipt.train.empty(), "nothing left to train on: {} documents, {} in the validation split, {} dropped",
            receipt.documents, receipt.validation_documents, receipt.documents - receipt.validation_documents);
    receipt.save(placed.out);
    std::ranges::move(folder.release(), std::back_inserter(result.notes));
    return result;
}

}  // namespace dropforge::data
