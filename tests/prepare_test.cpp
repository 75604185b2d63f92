// prepare: the same folder whatever the threads, a receipt that adds up, and the real command against bad input, full
// disks and SIGKILL.
#include "data/prepare.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "command.h"
#include "data/dataset.h"
#include "data/pipeline.h"
#include "data/split_writer.h"

using namespace dropforge;
using namespace dropforge::data;
using namespace dropforge::test;

namespace {

const char* const kWords[] = {"the",       "forge", "drops", "tokens", "and",    "layers",     "of",
                              "attention", "learn", "words", "slowly", "stream", "light",      "iron",
                              "a",         "river", "hill",  "stone",  "night",  "Caf\xC3\xA9"};

/// Text of `documents` paragraphs with 1 … 60 words.
std::string some_text(size_t documents, uint64_t seed) {
    PhiloxStream random(seed, 1);
    std::string text;
    for (size_t d = 0; d < documents; ++d) {
        const uint32_t words = 1 + random.below(60);
        for (uint32_t w = 0; w < words; ++w)
            text += fmt::format("{}{}", w == 0 ? "" : w % 12 == 0 ? "\n" : " ", kWords[random.below(20)]);
        text += "\n\n";
    }
    return text;
}

/// A folder of text, a vocabulary, and the options to prepare it with.
struct Corpus {
    TemporaryFolder folder;
    PrepareOptions options;

    explicit Corpus(size_t documents = 400) {
        fs::create_directories(folder / "text/more");
        write_text(folder / "text/a.txt", some_text(documents, 1));
        write_text(folder / "text/more/b.txt", some_text(documents / 2, 2) + "broken \xFF\xFE\xC3 bytes");
        write_text(folder / "text/c.html", "<p>the <b>iron</b> hill</p>\n\n<p>zzz</p>");
        std::string vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n,\n.\ns\n##s\n##ly\nslow\ncafe\n";
        for (const char* word : kWords) {
            const std::string_view text = word;
            if (text != "slowly" && text[0] != 'C') vocabulary += fmt::format("{}\n", text);
        }
        write_text(folder / "vocab.txt", vocabulary);
        options.text = {folder / "text"};
        options.out = folder / "data";
        options.vocabulary = folder / "vocab.txt";
        options.validation_fraction = 0.1;
        options.quiet = true;
    }

    std::vector<std::string> command(const std::string& out = "data") const {
        return {"prepare",
                "--text",
                (folder / "text").string(),
                "--out",
                (folder / out).string(),
                "--vocab",
                (folder / "vocab.txt").string(),
                "--quiet",
                "--threads",
                "2"};
    }
};

/// All files of a folder.
std::map<std::string, std::string> contents(const fs::path& folder) {
    std::map<std::string, std::string> files;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder))
        files[entry.path().filename().string()] = read_text(entry.path());
    return files;
}

std::vector<int32_t> stream_of(const Dataset& dataset) {
    std::vector<int32_t> ids(dataset.stream_length());
    dataset.read(0, ids, {});
    return ids;
}

}  // namespace

TEST_CASE("a pipeline keeps the order, whoever is slow, and passes on the error of each stage") {
    struct Slot {
        uint64_t number = 0, square = 0;
    };
    const auto run = [](int workers, int failing_stage) {
        uint64_t made = 0;
        std::vector<uint64_t> seen;
        run_pipeline<Slot>(
            workers,
            [&](Slot& slot) {
                require(failing_stage != 1 || made < 50, "reader failed");
                slot.number = made;
                return made++ < 500;
            },
            [&] {
                return [&](Slot& slot) {
                    require(failing_stage != 2 || slot.number != 50, "worker failed");
                    if (slot.number % 7 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
                    slot.square = slot.number * slot.number;
                };
            },
            [&](Slot& slot) {
                require(failing_stage != 3 || slot.number != 50, "consumer failed");
                seen.push_back(slot.square);
            });
        return seen;
    };
    for (const int workers : {1, 2, 5}) {
        const std::vector<uint64_t> seen = run(workers, 0);
        REQUIRE(seen.size() == 500);
        for (uint64_t i = 0; i < 500; ++i) CHECK(seen[i] == i * i);
        CHECK(error_of([&] { run(workers, 1); }) == "reader failed");
        CHECK(error_of([&] { run(workers, 2); }) == "worker failed");
        CHECK(error_of([&] { run(workers, 3); }) == "consumer failed");
    }
}

TEST_CASE("the folder is the same, byte for byte, for any number of threads; the stream is for any shard size") {
    Corpus corpus;
    corpus.options.shard_tokens = 3000;
    corpus.options.threads = 1;
    prepare(corpus.options);
    const auto expected = contents(corpus.options.out);
    CHECK(expected.size() > 5);
    CHECK(!expected.contains("prepare.lock"));
    const std::vector<int32_t> train = stream_of(Dataset(corpus.options.out, Split::train));
    const std::vector<int32_t> validation = stream_of(Dataset(corpus.options.out, Split::validation));
    CHECK(!validation.empty());
    for (const int threads : {2, 7}) {
        corpus.options.out = corpus.folder / fmt::format("threads{}", threads);
        corpus.options.threads = threads;
        prepare(corpus.options);
        CHECK(contents(corpus.options.out) == expected);
    }
    for (const uint64_t shard_tokens : {uint64_t{997}, uint64_t{1} << 20}) {
        corpus.options.out = corpus.folder / fmt::format("shards{}", shard_tokens);
        corpus.options.shard_tokens = shard_tokens;
        prepare(corpus.options);
        CHECK(stream_of(Dataset(corpus.options.out, Split::train)) == train);
        CHECK(stream_of(Dataset(corpus.options.out, Split::validation)) == validation);
    }
}

TEST_CASE("the receipt counts everything, and adds up to the token with drops") {
    Corpus corpus;
    corpus.options.min_document_tokens = 20;
    corpus.options.shard_tokens = 2000;
    const Receipt receipt = prepare(corpus.options).receipt;
    // The same again, the simple way.
    const Vocabulary vocabulary = Vocabulary::load(*corpus.options.vocabulary);
    WordPiece tokenizer(vocabulary, false);
    std::vector<std::string> documents;
    for (const char* name : {"text/a.txt", "text/more/b.txt"}) {
        std::string text = read_text(corpus.folder / name);
        for (size_t end; (end = text.find("\n\n")) != std::string::npos; text.erase(0, end + 2))
            documents.push_back(text.substr(0, end));
        if (!text.empty()) documents.push_back(text);
    }
    documents.insert(documents.begin() + 400, "the iron hill zzz");  // c.html comes second
    uint64_t tokens = 0, words = 0, unknown = 0, short_tokens = 0, short_documents = 0;
    std::map<int32_t, double> counts;
    std::vector<int32_t> train, validation;
    for (size_t d = 0; d < documents.size(); ++d) {
        std::vector<int32_t> ids;
        std::vector<uint8_t> starts;
        tokenizer.encode(documents[d], ids, &starts);
        tokens += ids.size();
        words += static_cast<uint64_t>(std::ranges::count(starts, 1));
        unknown += static_cast<uint64_t>(std::ranges::count(ids, vocabulary.special().unk));
        if (ids.size() < 20) {
            ++short_documents;
            short_tokens += ids.size();
            continue;
        }
        const bool held_out = in_validation(d, 0.1, 0);
        std::vector<int32_t>& split = held_out ? validation : train;
        split.insert(split.end(), ids.begin(), ids.end());
        split.push_back(Dataset::kSeparator);
        for (const int32_t id : ids) {
            if (!held_out && id != vocabulary.special().unk) ++counts[id];
        }
    }
    CHECK(receipt.files == 3);
    CHECK(receipt.invalid_bytes == 3);
    CHECK(receipt.documents == documents.size());
    CHECK(receipt.tokens == tokens);
    CHECK(receipt.words == words);
    CHECK(receipt.unknown_tokens == unknown);
    CHECK(receipt.drops[0] == Drop{short_documents, short_tokens});
    CHECK(short_documents > 10);
    CHECK(stream_of(Dataset(corpus.options.out, Split::train)) == train);
    CHECK(stream_of(Dataset(corpus.options.out, Split::validation)) == validation);
    CHECK(receipt.shard_tokens(Split::train) + receipt.shard_tokens(Split::validation) + short_tokens == tokens);
    double total = 0, entropy = 0, top = 0;
    for (const auto& [id, count] : counts) total += count;
    for (const auto& [id, count] : counts) {
        entropy -= count / total * std::log(count / total);
        top = std::max(top, count / total);
    }
    CHECK(!(std::abs(receipt.unigram_entropy - entropy) > 1e-12 * entropy));
    CHECK(receipt.top_token_share == top);
    // The shards' own headers tell the same; what is dropped after a split's last token has no shard to be told in.
    uint64_t in_headers = 0;
    for (const Split split : {Split::train, Split::validation}) {
        for (const ShardEntry& entry : receipt.shards(split))
            in_headers += Shard(corpus.options.out / entry.file).header().drops[0].tokens;
    }
    CHECK(in_headers == short_tokens);
    const Receipt loaded = Receipt::load(corpus.options.out);
    CHECK(loaded.json() == receipt.json());
    CHECK(loaded.text() == receipt.text());
}

TEST_CASE("the validation split: whole documents, the share that was asked for, another for every seed") {
    int chosen = 0, both = 0;
    for (uint64_t d = 0; d < 100000; ++d) {
        chosen += in_validation(d, 0.03, 5) ? 1 : 0;
        both += in_validation(d, 0.03, 5) && in_validation(d, 0.03, 6) ? 1 : 0;
        CHECK(!in_validation(d, 0, 5));
    }
    CHECK(std::abs(chosen - 3000) < 6 * std::sqrt(3000 * 0.97));
    CHECK(std::abs(both - 90) < 6 * std::sqrt(90.0));
}

TEST_CASE("text shrinks: at most 0.6 of ordinary English in two bytes a token") {
    Corpus corpus(20000);
    fs::remove(corpus.folder / "text/c.html");
    const Receipt receipt = prepare(corpus.options).receipt;
    CHECK(static_cast<double>(receipt.shard_bytes()) <= 0.6 * static_cast<double>(receipt.text_bytes));
}

TEST_CASE("done already, other options, other text, --overwrite, and folders of others") {
    const Corpus corpus;
    const std::vector<std::string> command = corpus.command();
    const auto with = [&](std::vector<std::string> more) {
        std::vector<std::string> all = command;
        all.insert(all.end(), more.begin(), more.end());
        return run_command(all);
    };
    CommandResult result = with({});
    CHECK(result.exit_code == 0);
    CHECK(result.error == "");
    CHECK(contains(result.out, "unigram entropy"));
    const auto expected = contents(corpus.folder / "data");

    CHECK(contains(with({}).out, "nothing to do"));
    result = with({"--json"});
    CHECK(nlohmann::json::parse(result.out).at("already_there") == true);
    result = with({"--shard-tokens", "999"});
    CHECK(result.exit_code == 1);
    CHECK(contains(result.error, "error: " + (corpus.folder / "data").string() +
                                     ": holds other data (shard_tokens is 67108864 there, 999 here)"));
    CHECK(contents(corpus.folder / "data") == expected);
    CHECK(with({"--shard-tokens", "999", "--overwrite"}).exit_code == 0);
    CHECK(Receipt::load(corpus.folder / "data").train.size() > 3);
    CHECK(with({"--overwrite"}).exit_code == 0);
    CHECK(contents(corpus.folder / "data") == expected);

    // Of what else lies in the folder nothing is touched.
    for (const char* name : {"train-1.shard.bak", "train-x.shard", "test-00000.shard", "notes.txt", "vocab.txt.tmp",
                             "dataset.json.tmp12x"}) {
        write_text(corpus.folder / "data" / name, "mine");
    }
    for (const char* name : {"train-00077.shard", "validation-00000.shard.tmp123", "vocab.txt.tmp9"})
        write_text(corpus.folder / "data" / name, "old");
    CHECK(with({"--overwrite"}).exit_code == 0);
    CHECK(contents(corpus.folder / "data").size() == expected.size() + 6);

    write_text(corpus.folder / "text/new.txt", "the river");
    CHECK(contains(with({}).error, "text is 3 files"));
    fs::remove(corpus.folder / "text/new.txt");
    fs::remove(corpus.folder / "data/train-00000.shard");
    result = with({});
    CHECK(result.exit_code == 1);
    CHECK(contains(result.error, "train-00000.shard"));

    fs::create_directories(corpus.folder / "letters");
    write_text(corpus.folder / "letters/dear.doc", "x");
    result = run_command(corpus.command("letters"));
    CHECK(result.exit_code == 1);
    CHECK(contains(result.error, "not empty and not a data folder (it holds dear.doc)"));
    CHECK(contents(corpus.folder / "letters").size() == 1);  // not even a lock is left
}

TEST_CASE("bad input of the command: one line that says what and where, and nothing left behind") {
    const Corpus corpus;
    const std::string text = (corpus.folder / "text").string(), out = (corpus.folder / "new").string(),
                      vocab = (corpus.folder / "vocab.txt").string();
    const auto refused = [&](const std::vector<std::string>& arguments, int code, const std::string& part) {
        std::vector<std::string> all = {"prepare", "--quiet"};
        all.insert(all.end(), arguments.begin(), arguments.end());
        const CommandResult result = run_command(all);
        CAPTURE(result.error);
        CHECK(result.exit_code == code);
        CHECK(result.out == "");
        CHECK(result.error.starts_with("error: "));
        CHECK(std::ranges::count(result.error, '\n') == 1);
        CHECK(contains(result.error, part));
        CHECK(!fs::exists(out));
    };
    refused({"--text", text, "--out", out}, 2, "vocab");
    refused({"--text", text, "--out", out, "--vocab", vocab, "--train-vocab", "100"}, 2, "vocab");
    refused({"--out", out, "--vocab", vocab}, 2, "--text");
    refused({"--text", text, "--out", out, "--vocab", vocab, "--validation-fraction", "2"}, 2, "--validation-fraction");
    refused({"--text", text, "--out", out, "--vocab", vocab, "--validation-fraction", "1"}, 1, "validation fraction 1");
    refused({"--text", text, "--out", out, "--vocab", vocab, "--min-document-tokens", "0"}, 1, "min document tokens 0");
    refused({"--text", text, "--out", out, "--vocab", vocab, "--documents", "page"}, 2, "--documents");
    refused({"--text", text + "/none", "--out", out, "--vocab", vocab}, 1, "none: No such file");
    refused({"--text", text, "--out", out, "--vocab", vocab + "x"}, 1, "vocab.txtx: cannot open: No such file");
    refused({"--text", text, "--out", vocab + "/new", "--vocab", vocab}, 1, "cannot make the folder: Not a directory");
    refused({"--text", text, "--out", corpus.folder.path().string(), "--vocab", vocab}, 1, "lies in the output folder");

    write_text(corpus.folder / "empty.txt", " \n\n \n");
    refused({"--text", (corpus.folder / "empty.txt").string(), "--out", out, "--vocab", vocab}, 1, "not one token");
    fs::create_directories(corpus.folder / "nothing");
    refused({"--text", (corpus.folder / "nothing").string(), "--out", out, "--vocab", vocab}, 1, "no text files");
    refused({"--text", text, "--out", out, "--vocab", vocab, "--min-document-tokens", "1000"}, 1,
            "nothing left to train on");
    write_text(corpus.folder / "no_mask.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\nthe\n");
    refused({"--text", text, "--out", out, "--vocab", (corpus.folder / "no_mask.txt").string()}, 1, "[MASK]");
    write_text(corpus.folder / "twice.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nthe\n");
    refused({"--text", text, "--out", out, "--vocab", (corpus.folder / "twice.txt").string()}, 1, "twice.txt");
    write_text(corpus.folder / "cut.txt.gz", std::string("\x1f\x8b\x08\0\0\0\0\0\0\3", 10));
    refused({"--text", (corpus.folder / "cut.txt.gz").string(), "--out", out, "--vocab", vocab}, 1,
            "cut.txt.gz: offset 10: the gzip data is truncated");
    refused({"--text", text, "--out", out, "--train-vocab", "1000000"}, 1, "1000000");
}

TEST_CASE("no permission to read or write, and a disk that fills up") {
    const Corpus corpus(5000);
    fs::permissions(corpus.folder.path(),
                    fs::perms::owner_all | fs::perms::group_exec | fs::perms::others_exec | fs::perms::others_read);
    CommandResult result = Command(corpus.command("denied"), {.unprivileged = true}).wait();
    CHECK(result.exit_code == 1);
    CHECK(contains(result.error, "denied: cannot make the folder: Permission denied"));
    fs::permissions(corpus.folder / "text/a.txt", fs::perms::none);
    fs::create_directories(corpus.folder / "mine");
    fs::permissions(corpus.folder / "mine", fs::perms::all);
    result = Command(corpus.command("mine"), {.unprivileged = true}).wait();
    CHECK(result.exit_code == 1);
    CHECK(contains(result.error, "a.txt: cannot open: Permission denied"));
    CHECK(fs::is_empty(corpus.folder / "mine"));
    fs::permissions(corpus.folder / "text/a.txt", fs::perms::owner_read);

    result = Command(corpus.command("full"), {.file_bytes = 100000}).wait();
    CHECK(result.exit_code == 1);
    CHECK(contains(result.error, "full/train-00000.shard: cannot write: File too large"));
    CHECK(!fs::exists(corpus.folder / "full"));
}

TEST_CASE("a second prepare on the same folder is refused while the first runs") {
    const Corpus corpus;
    fs::create_directories(corpus.folder / "data");
    const int lock = open((corpus.folder / "data/prepare.lock").c_str(), O_RDWR | O_CREAT, 0644);
    REQUIRE(flock(lock, LOCK_EX) == 0);
    const CommandResult result = run_command(corpus.command());
    CHECK(result.exit_code == 1);
    CHECK(contains(result.error, "another prepare is writing there"));
    close(lock);
    CHECK(run_command(corpus.command()).exit_code == 0);
}

TEST_CASE("killed at random moments, then run again: the same folder, and never a half one that passes for whole") {
    const Corpus corpus(30000);
    std::vector<std::string> command = corpus.command();
    command.insert(command.end(), {"--shard-tokens", "50000"});
    std::vector<std::string> reference = command;
    reference[4] = (corpus.folder / "reference").string();
    const auto begin = std::chrono::steady_clock::now();
    REQUIRE(run_command(reference).exit_code == 0);
    const auto whole_run =
        std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin);
    const auto expected = contents(corpus.folder / "reference");
    REQUIRE(expected.size() > 15);
    PhiloxStream random(17, 0);
    int interrupted = 0;
    for (int round = 0; round < 12; ++round) {
        fs::remove_all(corpus.folder / "data");
        for (int kill = 0; kill < 2; ++kill) {  // killed, and killed again while it tidies up
            Command run(command);
            std::this_thread::sleep_for(std::chrono::microseconds(
                static_cast<int64_t>(random.uniform() * static_cast<double>(whole_run.count()))));
            run.kill(SIGKILL);
            interrupted += run.wait().exit_code == 128 + SIGKILL;
            if (fs::exists(corpus.folder / "data/dataset.json")) {
                Dataset(corpus.folder / "data", Split::train).verify();
            } else {
                CHECK(contains(error_of([&] { Dataset(corpus.folder / "data", Split::train); }), "data folder"));
            }
        }
        REQUIRE(run_command(command).exit_code == 0);
        REQUIRE(contents(corpus.folder / "data") == expected);
    }
    CHECK(interrupted > 5);
}

TEST_CASE("a vocabulary made from the text") {
    Corpus corpus;
    corpus.options.vocabulary.reset();
    corpus.options.train_vocabulary = 60;
    corpus.options.threads = 3;
    const Receipt receipt = prepare(corpus.options).receipt;
    CHECK(receipt.vocabulary_size == 60);
    CHECK(Vocabulary::load(corpus.options.out / "vocab.txt").size() == 60);
    const auto expected = contents(corpus.options.out);
    corpus.options.out = corpus.folder / "one";
    corpus.options.threads = 1;
    prepare(corpus.options);
    CHECK(contents(corpus.options.out) == expected);
}

TEST_CASE("an output folder inside the text folder is not read as text") {
    Corpus corpus;
    corpus.options.out = corpus.folder / "text/data";
    const Receipt first = prepare(corpus.options).receipt;
    CHECK(first.files == 3);
    CHECK(prepare(corpus.options).already_there);
}
