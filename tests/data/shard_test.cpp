// Shards: what is written is read, and nothing damaged is.
#include "data/shards/shard.h"

#include <doctest/doctest.h>
#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "data/shards/dataset.h"
#include "tests/support/data_fixture.h"

using namespace dropforge;
using namespace dropforge::data;
using namespace dropforge::test;

namespace {

/// One shard of all documents; the last stays open if asked.
ShardHeader write_shard(const fs::path& path, const std::vector<Document>& documents, int32_t vocabulary_size,
                        bool open = false) {
    const bool sentences = !documents.empty() && !documents.front().sentence_starts.empty();
    ShardWriter writer(path, {vocabulary_size, kSpecial.unk, 77}, false, sentences);
    for (size_t d = 0; d < documents.size(); ++d) {
        writer.append(documents[d].tokens());
        if (!open || d + 1 < documents.size()) writer.end_document();
    }
    return writer.close({});
}

void check_equal(const Shard& shard, const std::vector<Document>& documents) {
    REQUIRE(shard.documents() == documents.size());
    for (size_t d = 0; d < documents.size(); ++d) {
        const uint64_t begin = shard.document_start(d);
        REQUIRE(shard.document_start(d + 1) - begin == documents[d].ids.size());
        std::vector<int32_t> ids(documents[d].ids.size());
        std::vector<uint8_t> starts(ids.size());
        shard.read(begin, ids, starts);
        REQUIRE(ids == documents[d].ids);
        REQUIRE(starts == documents[d].word_starts);
    }
}

void flip_bit(const fs::path& path, uint64_t offset, int bit) {
    std::string bytes = read_text(path);
    bytes[offset] = static_cast<char>(bytes[offset] ^ 1 << bit);
    write_text(path, bytes);
}

/// Changes the file and then makes all its checksums right again, as a broken writer would.
template <typename Change>
void rewrite(const fs::path& path, Change&& change) {
    std::string bytes = read_text(path);
    ShardHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    change(bytes, header);
    const uint64_t end = std::min<uint64_t>(header.checksums_offset, bytes.size());
    for (uint64_t block = 0, begin = sizeof header; begin < end; ++block, begin += ShardHeader::kBlock) {
        const uint64_t sum = XXH64(&bytes[begin], std::min(ShardHeader::kBlock, end - begin), 0);
        std::memcpy(&bytes[header.checksums_offset + block * 8], &sum, 8);
    }
    header.table_checksum = XXH64(&bytes[header.checksums_offset], bytes.size() - header.checksums_offset, 0);
    header.header_checksum = XXH64(&header, offsetof(ShardHeader, header_checksum), 0);
    std::memcpy(bytes.data(), &header, sizeof header);
    write_text(path, bytes);
}

}  // namespace

TEST_CASE("tokens, word borders and documents come back, with 2-byte and 4-byte ids, across blocks") {
    TemporaryFolder folder;
    for (const int32_t vocabulary : {300, 65536, 65537, 200000}) {
        const std::vector<Document> documents =
            random_documents(900, 2000, vocabulary, 5);  // about 0.9 M tokens: two blocks or more
        const ShardHeader header = write_shard(folder / "a.shard", documents, vocabulary);
        CHECK(header.id_bytes == (vocabulary <= 65536 ? 2 : 4));
        CHECK(header.file_bytes > ShardHeader::kBlock);
        const Shard shard(folder / "a.shard");
        check_equal(shard, documents);
        shard.verify();
        CHECK(shard.ends() == documents.size());
        uint64_t words = 0;
        for (const Document& document : documents)
            words += static_cast<uint64_t>(std::ranges::count(document.word_starts, 1));
        CHECK(shard.header().words == words);
    }
}

TEST_CASE("a shard costs 2 bytes and 1 bit a token, 8 bytes a document") {
    TemporaryFolder folder;
    const std::vector<Document> documents = random_documents(100, 1000, 300, 6);
    const ShardHeader header = write_shard(folder / "a.shard", documents, 300);
    const uint64_t sections = header.tokens * 2 + (header.tokens + 7) / 8 + (documents.size() + 1) * 8;
    CHECK(header.file_bytes <= sections + sizeof(ShardHeader) + 8 + 2 * 7);  // one block's checksum, padding
}

TEST_CASE("sentence borders cost 1 bit a token and come back; a damaged one is found; the writer wants all or none") {
    TemporaryFolder folder;
    std::vector<Document> documents = random_documents(50, 200, 300, 6);
    for (Document& document : documents) document.sentence_starts = document.word_starts;
    const ShardHeader without = write_shard(folder / "without.shard", random_documents(50, 200, 300, 6), 300);
    const ShardHeader header = write_shard(folder / "a.shard", documents, 300);
    CHECK(header.sentences == header.words);
    CHECK(header.file_bytes - without.file_bytes == (header.tokens + 63) / 64 * 8);
    const Shard shard(folder / "a.shard");
    check_equal(shard, documents);
    std::vector<uint64_t> found, expected;
    shard.each_sentence(0, shard.tokens(), [&](uint64_t position) { found.push_back(position); });
    for (uint64_t position = 0; const Document& document : documents)
        for (const uint8_t start : document.word_starts) {
            if (start != 0) expected.push_back(position);
            ++position;
        }
    CHECK(found == expected);
    std::string bytes = read_text(folder / "a.shard");
    bytes[header.sentences_offset + 3] = static_cast<char>(bytes[header.sentences_offset + 3] ^ 4);
    write_text(folder / "a.shard", bytes);
    CHECK(contains(error_of([&] { Shard(folder / "a.shard").each_sentence(0, 1, [](uint64_t) {}); }), "checksum"));
    ShardWriter writer(folder / "b.shard", {300, kSpecial.unk, 77}, false, true);
    CHECK(contains(error_of([&] {
                       writer.append({documents[0].ids, documents[0].word_starts});
                   }),
                   "0 sentence starts, expected"));
}

TEST_CASE("an empty shard and an open last document") {
    TemporaryFolder folder;
    write_shard(folder / "empty.shard", {}, 300);
    const Shard empty(folder / "empty.shard");
    CHECK(empty.tokens() == 0);
    CHECK(empty.documents() == 0);
    empty.verify();
    const std::vector<Document> documents = random_documents(3, 9, 300, 7);
    write_shard(folder / "open.shard", documents, 300, true);
    const Shard open(folder / "open.shard");
    check_equal(open, documents);
    CHECK(open.header().open());
    CHECK(open.ends() == 2);
}

TEST_CASE("entropy of a known distribution") {
    const std::vector<uint64_t> counts = {100, 4, 0, 2, 2};  // entry 0 is left out
    CHECK(std::abs(unigram_entropy(counts, 0) - (0.5 * std::log(2) + 0.5 * std::log(4))) < 1e-14);
    CHECK(unigram_entropy(std::vector<uint64_t>{3, 5}, 0) == 0);
    CHECK(unigram_entropy(std::vector<uint64_t>{3, 0}, 0) == 0);
}

TEST_CASE("a bit flipped anywhere is found, with file, offset and both checksums") {
    TemporaryFolder folder;
    const fs::path path = folder / "a.shard";
    const std::vector<Document> documents = random_documents(600, 2000, 300, 8);
    const ShardHeader header = write_shard(path, documents, 300);
    const auto refusal = [&] { return error_of([&] { Shard(path).verify(); }); };
    const auto middle = [](uint64_t begin, uint64_t end) { return begin + (end - begin) / 2; };
    const std::vector<uint64_t> places = {0,
                                          8,
                                          12,
                                          16,
                                          40,
                                          100,
                                          511,
                                          header.ids_offset,
                                          middle(header.ids_offset, header.borders_offset),
                                          middle(header.borders_offset, header.documents_offset),
                                          header.documents_offset,
                                          middle(header.documents_offset, header.checksums_offset),
                                          header.checksums_offset,
                                          header.file_bytes - 1};
    for (const uint64_t place : places) {
        CAPTURE(place);
        flip_bit(path, place, static_cast<int>(place % 8));
        const std::string error = refusal();
        CHECK(contains(error, path.string()));
        if (place >= 12) {  // before it: magic and version have their own words
            CHECK(contains(error, "offset"));
            CHECK(contains(error, "expected"));
            CHECK(contains(error, "found"));
        }
        flip_bit(path, place, static_cast<int>(place % 8));
        CHECK(refusal() == "");
    }
}

TEST_CASE("a damaged block is refused when it is read, not before") {
    TemporaryFolder folder;
    const fs::path path = folder / "a.shard";
    write_shard(path, random_documents(900, 2000, 300, 8), 300);
    flip_bit(path, sizeof(ShardHeader) + ShardHeader::kBlock + 5, 3);
    const Shard shard(path);
    std::vector<int32_t> ids(100);
    CHECK(error_of([&] { shard.read(0, ids, {}); }) == "");
    const std::string error = error_of([&] { shard.read(ShardHeader::kBlock / 2, ids, {}); });
    CHECK(contains(error, fmt::format("block 1 (offset {}", sizeof(ShardHeader) + ShardHeader::kBlock)));
}

TEST_CASE("a truncated or lengthened shard is refused at once, wherever it is cut") {
    TemporaryFolder folder;
    const fs::path path = folder / "a.shard";
    const ShardHeader header = write_shard(path, random_documents(50, 100, 300, 9), 300);
    const std::string intact = read_text(path);
    for (const uint64_t size : {uint64_t{0}, uint64_t{100}, uint64_t{511}, uint64_t{512}, header.borders_offset,
                                header.documents_offset, header.checksums_offset, header.file_bytes - 1}) {
        CAPTURE(size);
        write_text(path, intact.substr(0, size));
        const std::string error = error_of([&] { Shard shard(path); });
        CHECK(contains(error, path.string()));
        CHECK(contains(error, "truncated"));
    }
    write_text(path, intact + "x");
    CHECK(contains(error_of([&] { Shard shard(path); }), "too long"));
}

TEST_CASE("content that no checksum can excuse: ids outside the vocabulary, offsets that fall, sections elsewhere") {
    TemporaryFolder folder;
    const fs::path path = folder / "a.shard";
    const std::vector<Document> documents = random_documents(50, 100, 300, 10);
    const auto refusal_of = [&](auto&& change) {
        write_shard(path, documents, 300);
        rewrite(path, change);
        return error_of([&] { Shard(path).verify(); });
    };
    CHECK(refusal_of([](std::string&, ShardHeader&) {}) == "");
    CHECK(contains(refusal_of([](std::string& bytes, ShardHeader& h) {
                       std::memcpy(&bytes[h.ids_offset + 2 * 7], "\x2c\x01", 2);
                   }),
                   "token 7: id 300, but the vocabulary has 300"));
    const auto set_offset = [](uint64_t d, uint64_t value) {
        return [=](std::string& bytes, ShardHeader& h) { std::memcpy(&bytes[h.documents_offset + 8 * d], &value, 8); };
    };
    CHECK(contains(refusal_of(set_offset(0, 1)), "document 0 begins at token 1"));
    CHECK(contains(refusal_of(set_offset(20, 0)), "document 19 has tokens"));
    CHECK(contains(refusal_of(set_offset(50, uint64_t{1} << 40)), "document 49 has tokens"));
    CHECK(contains(refusal_of([](std::string&, ShardHeader& h) { h.version = 3; }), "shard version 3"));
    CHECK(contains(refusal_of([](std::string&, ShardHeader& h) { h.version = 2; }), "sections at"));
    CHECK(contains(refusal_of([](std::string&, ShardHeader& h) { h.sentences = 1; }), "1 sentences of"));
    CHECK(contains(refusal_of([](std::string&, ShardHeader& h) { h.tokens += 8; }), "sections at"));
    CHECK(contains(refusal_of([](std::string&, ShardHeader& h) { h.tokens = ~uint64_t{0}; }), "documents with"));
    CHECK(contains(refusal_of([](std::string&, ShardHeader& h) { h.id_bytes = 4; }), "ids of 4 bytes"));
    CHECK(contains(refusal_of([](std::string&, ShardHeader& h) { h.vocabulary_size = 0; }), "vocabulary of 0"));
}

TEST_CASE("the writer refuses ids outside the vocabulary, and leaves no file unless closed") {
    TemporaryFolder folder;
    {
        ShardWriter writer(folder / "a.shard", {300, kSpecial.unk, 77}, false);
        const std::vector<uint8_t> start = {1};
        CHECK(contains(error_of([&] { writer.append({std::vector<int32_t>{300}, start}); }), "id 300"));
        CHECK(contains(error_of([&] { writer.append({std::vector<int32_t>{-1}, start}); }), "id -1"));
    }
    CHECK(fs::is_empty(folder.path()));
    CHECK(contains(error_of([&] { ShardWriter(folder / "no/a.shard", {300, 1, 77}, false); }), "No such file"));
}

TEST_CASE("the stream of a data folder is the same whatever the shards' size, at every position") {
    TemporaryFolder folder;
    const std::vector<Document> documents = random_documents(12, 20, 300, 11);
    std::vector<int32_t> stream;
    std::vector<uint8_t> starts;
    for (const Document& document : documents) {
        stream.insert(stream.end(), document.ids.begin(), document.ids.end());
        starts.insert(starts.end(), document.word_starts.begin(), document.word_starts.end());
        stream.push_back(Dataset::kSeparator);
        starts.push_back(1);
    }
    for (const uint64_t shard_tokens : {uint64_t{1}, uint64_t{7}, uint64_t{100000}}) {
        CAPTURE(shard_tokens);
        const fs::path data = folder / std::to_string(shard_tokens);
        write_dataset(data, documents, 300, shard_tokens);
        const Dataset dataset(data, Split::train);
        REQUIRE(dataset.stream_length() == stream.size());
        CHECK(dataset.tokens() == stream.size() - documents.size());
        CHECK(dataset.documents() == documents.size());
        for (size_t begin = 0; begin <= stream.size(); ++begin) {
            const size_t count = std::min<size_t>(stream.size() - begin, 17);
            std::vector<int32_t> ids(count);
            std::vector<uint8_t> borders(count);
            dataset.read(begin, ids, borders);
            REQUIRE(std::equal(ids.begin(), ids.end(), stream.begin() + static_cast<std::ptrdiff_t>(begin)));
            REQUIRE(std::equal(borders.begin(), borders.end(), starts.begin() + static_cast<std::ptrdiff_t>(begin)));
        }
        std::vector<int32_t> past(1);
        CHECK(contains(error_of([&] { dataset.read(stream.size(), past, {}); }), "stream positions"));
        dataset.verify();
    }
}

TEST_CASE("a data folder is refused unless it is complete and of one piece") {
    TemporaryFolder folder;
    const fs::path data = folder / "data";
    const auto fresh = [&] { write_dataset(data, random_documents(40, 30, 300, 11), 300, 100); };
    const auto refusal = [&] { return error_of([&] { Dataset dataset(data, Split::train); }); };
    CHECK(contains(refusal(), "no such data folder"));
    fresh();
    CHECK(refusal() == "");
    CHECK(Dataset(data, Split::validation).stream_length() == 0);

    fs::remove(data / "dataset.json");
    CHECK(contains(refusal(), "not a complete data folder"));
    fresh();
    fs::remove(data / "train-00001.shard");
    CHECK(contains(refusal(), "train-00001.shard"));
    fresh();
    fs::copy_file(data / "train-00000.shard", data / "train-00001.shard", fs::copy_options::overwrite_existing);
    CHECK(contains(refusal(), "not the shard of this data"));
    fresh();
    write_text(data / "vocab.txt", read_text(data / "vocab.txt") + "more\n");
    CHECK(contains(refusal(), "not the vocabulary of this data"));
    fresh();
    const auto resave = [&](auto change) {  // whole and with right checksums: as a foreign program may write it
        data::Receipt receipt = data::Receipt::load(data);
        change(receipt);
        receipt.save(data);
    };
    resave([](data::Receipt& r) { r.vocabulary_size = 299; });
    CHECK(contains(refusal(), "vocab.txt: a vocabulary of 300 tokens, but dataset.json says 299"));
    fresh();
    write_text(data / "vocab.txt", read_text(data / "vocab.txt") + "more\n");
    resave([&](data::Receipt& r) {
        r.vocabulary_size = 301;
        r.vocabulary_hash = hash_file(data / "vocab.txt");
    });
    CHECK(contains(refusal(), "made with another vocabulary"));
    const uint64_t hash = hash_file(data / "vocab.txt");
    ShardWriter writer(data / "train-00000.shard", {300, kSpecial.unk, hash}, false);
    const std::vector<int32_t> ids{7};
    const std::vector<uint8_t> starts{1};
    writer.append({ids, starts});
    writer.end_document();
    const ShardHeader header = writer.close({});
    resave([&](data::Receipt& r) {
        r.train = {{"train-00000.shard", header.file_bytes, 1, 1, header.header_checksum}};
        r.tokens = r.documents = r.train_documents = 1;
    });
    CHECK(contains(refusal(), "train-00000.shard: a vocabulary of 300 tokens, but dataset.json says 301"));
    fresh();
    const std::string json = read_text(data / "dataset.json");
    write_text(data / "dataset.json", json.substr(0, json.size() / 2));
    CHECK(contains(refusal(), "dataset.json: damaged"));
    const size_t tokens = json.find("\"tokens\": ", json.find("\"shards\"")) + 10;
    const std::string more = json.substr(0, tokens) + "1" + json.substr(tokens);
    write_text(data / "dataset.json", more);
    CHECK(contains(refusal(), "dataset.json: damaged: checksum"));
    // As it was written before it had a checksum of itself.
    const size_t checksum = more.find("\"checksum_of_all\""), after = more.find('"', more.find(',', checksum));
    write_text(data / "dataset.json", more.substr(0, checksum) + more.substr(after));
    CHECK(contains(refusal(), "tokens in, but"));
}
