// Compressed files: members after each other, what follows them, large windows; damaged ones are refused by name.
#include "data/text/byte_source.h"

#include <doctest/doctest.h>

#include "tests/support/compression.h"
#include "tests/support/data_fixture.h"

using namespace dropforge;
using namespace dropforge::data;
using namespace dropforge::test;

namespace {

struct Kind {
    const char* name;
    Codec codec;
    std::string (*compress)(const std::string&);
};

constexpr std::array kKinds = {Kind{"a.gz", Codec::gzip, gzip}, Kind{"a.bz2", Codec::bzip2, bzip2},
                               Kind{"a.xz", Codec::xz, xz},
                               Kind{"a.zst", Codec::zstd, [](const std::string& text) { return zstd(text); }}};

struct File {
    TemporaryFolder folder;
    std::vector<std::string> notes;

    std::string unpacked(const Kind& kind, const std::string& bytes) {
        write_text(folder / kind.name, bytes);
        const std::unique_ptr<ByteSource> source = open_bytes(folder / kind.name, kind.codec);
        std::string text;
        std::vector<char> part(10007);
        for (size_t count; (count = source->read(part.data(), part.size())) > 0;) text.append(part.data(), count);
        CHECK(source->read(part.data(), part.size()) == 0);
        CHECK(source->position() == bytes.size());
        notes = source->notes();
        return text;
    }
};

std::string numbers(int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += fmt::format("{} ", i * 7919 % 100003);
    return text;
}

}  // namespace

TEST_CASE("one member, several, and none with text in it") {
    const std::string text = numbers(100000), more = numbers(1000);
    File file;
    for (const Kind& kind : kKinds) {
        CAPTURE(kind.name);
        CHECK(file.unpacked(kind, kind.compress(text)) == text);
        CHECK(file.unpacked(kind, kind.compress(text) + kind.compress("") + kind.compress(more)) == text + more);
        std::string many, expected;
        for (int i = 0; i < 3000; ++i) {  // members begin anywhere in the buffer
            many += kind.compress(fmt::format("member {}\n", i));
            expected += fmt::format("member {}\n", i);
        }
        CHECK(file.unpacked(kind, many) == expected);
        CHECK(file.unpacked(kind, kind.compress("")) == "");
        CHECK(file.notes.empty());
    }
}

TEST_CASE("damaged and truncated files are refused by name, offset and kind") {
    const std::string text = numbers(100000);
    File file;
    for (const Kind& kind : kKinds) {
        CAPTURE(kind.name);
        const std::string bytes = kind.compress(text);
        const auto refusal = [&](const std::string& damaged) {
            return error_of([&] { file.unpacked(kind, damaged); });
        };
        for (const size_t size : {size_t{0}, size_t{1}, size_t{3}, bytes.size() / 2, bytes.size() - 1}) {
            CAPTURE(size);
            CHECK(contains(refusal(bytes.substr(0, size)), fmt::format("{}: offset {}: the ", kind.name, size)));
            CHECK(contains(refusal(bytes.substr(0, size)), "data is truncated"));
        }
        CHECK(contains(refusal(kind.compress("whole ") + bytes.substr(0, bytes.size() / 2)), "truncated"));
        CHECK(contains(refusal("this is not compressed at all"), "data is damaged"));
        if (kind.codec == Codec::zstd) continue;  // without a checksum, as the library makes it
        std::string flipped = bytes;
        for (size_t i = 0; i < 8; ++i)
            flipped[bytes.size() / 2 + i] = static_cast<char>(~flipped[bytes.size() / 2 + i]);
        CHECK(contains(refusal(flipped), "data is damaged"));
    }
}

TEST_CASE("what follows the last member") {
    const std::string text = numbers(100), more = "more";
    const std::string zeros(300000, '\0');
    File file;
    const Kind &gz = kKinds[0], &bz2 = kKinds[1], &xz_kind = kKinds[2], &zst = kKinds[3];
    CHECK(file.unpacked(gz, gzip(text) + zeros) == text);
    CHECK(file.unpacked(gz, gzip(text) + zeros + gzip(more)) == text + more);  // Python reads on; gzip would not
    CHECK(file.notes.empty());
    for (const Kind& kind : {gz, bz2}) {
        for (const std::string tail : {"t", "BZ", "\x1F", "\x1F\x8A", "a tail"}) {
            CAPTURE(tail);
            CHECK(file.unpacked(kind, kind.compress(text) + tail) == text);
            REQUIRE(file.notes.size() == 1);
            CHECK(contains(file.notes[0], fmt::format("{}: {} bytes that follow the ", kind.name, tail.size())));
        }
    }
    CHECK(contains(error_of([&] { file.unpacked(gz, gzip(text) + "\x1F\x8B"); }), "truncated"));
    CHECK(file.unpacked(xz_kind, xz(text) + std::string(8, '\0') + xz(more)) == text + more);
    for (const Kind& kind : {xz_kind, zst})
        CHECK(contains(error_of([&] { file.unpacked(kind, kind.compress(text) + "a tail, longer than a header"); }),
                       "damaged"));
}

TEST_CASE("zstd: a window of up to 2 GiB is read, and said from 128 MiB on") {
    const std::string text = numbers(1000);
    const Kind zst = kKinds[3];
    File file;
    CHECK(file.unpacked(zst, zstd(text, 27)) == text);
    CHECK(file.notes.empty());
    CHECK(file.unpacked(zst, zstd(text, 31)) == text);
    REQUIRE(file.notes.size() == 1);
    CHECK(contains(file.notes[0], "a.zst: unpacking it takes 214"));
}
