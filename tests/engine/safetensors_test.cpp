#include "engine/safetensors.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>

#include "base/error.h"
#include "tests/support/temporary_folder.h"

using namespace dropforge;

namespace {

/// The bytes of a file: header length, header, data.
std::string file_of(const std::string& header, const std::string& data, uint64_t length) {
    std::string bytes(sizeof length, '\0');
    std::memcpy(bytes.data(), &length, sizeof length);
    return bytes + header + data;
}
std::string file_of(const std::string& header, const std::string& data = "") {
    return file_of(header, data, header.size());
}

/// The reader's complaint about a file of these bytes, without the path; "" if it reads it.
std::string complaint(const std::string& bytes) {
    const TemporaryFolder folder;
    write_text(folder / "f", bytes);
    try {
        SafetensorsFile file(folder / "f");
    } catch (const Error& error) {
        const std::string text = error.what(), path = (folder / "f").string() + ": ";
        REQUIRE(text.starts_with(path));
        return text.substr(path.size());
    }
    return "";
}

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

const std::string kTwo = R"({"__metadata__":{"format":"pt","step":"7"},"a":)" + entry("F32", "[2,1]", "[0,8]") +
                         R"(,"b":)" + entry("U8", "[3]", "[8,11]") + "}";
const std::string kTwoData("\x00\x00\x80\x3f\x00\x00\x00\xc0xyz", 11);

}  // namespace

TEST_CASE("a written file reads back the same, in any order of widths") {
    const TemporaryFolder folder;
    const std::vector<float> f = {1.5f, -2.0f, std::numeric_limits<float>::infinity(), 0.0f, 5e-45f, 3e38f};
    const std::vector<int32_t> n = {1, -1, std::numeric_limits<int32_t>::min()};
    const std::array<std::byte, 3> raw = {std::byte{1}, std::byte{2}, std::byte{255}};
    SafetensorsWriter writer;
    writer.add_raw("odd bytes", "U8", raw, {3});
    writer.add("ä/\"quoted\"", f, {2, 3});
    writer.add("n", n, {3, 1, 1});
    writer.add("empty", std::span<const float>(), {4, 0});
    writer.add("scalar", std::span(f).first(1), {});
    writer.metadata("note", "line\nbreak");
    writer.write(folder / "x.safetensors");

    const SafetensorsFile file(folder / "x.safetensors");
    CHECK(file.tensors().size() == 5);
    CHECK(file.metadata().at("note") == "line\nbreak");
    std::vector<float> f_back(6);
    const std::array<int64_t, 2> shape = {2, 3};
    file.read("ä/\"quoted\"", f_back, shape);
    CHECK(std::memcmp(f.data(), f_back.data(), 24) == 0);
    std::vector<int32_t> n_back(3);
    file.read("n", n_back);
    CHECK(n_back == n);
    CHECK(std::memcmp(file.bytes("odd bytes").data(), raw.data(), 3) == 0);
    CHECK(file.info("empty").size() == 0);
    CHECK(file.bytes("empty").empty());
    CHECK(file.info("scalar").size() == 1);
    CHECK(file.info("ä/\"quoted\"").begin % 4 == 0);  // though the odd bytes came first
    const std::string bytes = read_text(folder / "x.safetensors");
    uint64_t length = 0;
    std::memcpy(&length, bytes.data(), 8);
    CHECK(length % 8 == 0);
    writer.write(folder / "y.safetensors");
    CHECK(read_text(folder / "y.safetensors") == bytes);
}

TEST_CASE("a file laid out as the format says is read") {
    const TemporaryFolder folder;
    write_text(folder / "f", file_of(kTwo + "   ", kTwoData));
    const SafetensorsFile file(folder / "f");
    std::array<float, 2> a{};
    file.read("a", a);
    CHECK(a == std::array{1.0f, -2.0f});
    CHECK(static_cast<char>(file.bytes("b")[2]) == 'z');
    CHECK(file.metadata().at("step") == "7");
    CHECK(complaint(file_of("{}")) == "");
    CHECK(complaint(file_of(R"({"s":)" + entry("F32", "[]", "[0,4]") + "}", "0123")) == "");
}

TEST_CASE("numbers of other types are converted, or refused") {
    const TemporaryFolder folder;
    const std::array<uint16_t, 8> half = {0x3c00, 0xc000, 0x0001, 0x03ff, 0x7bff, 0x7c00, 0xfc00, 0x7e00};
    const std::array<uint16_t, 2> brain = {0x3f80, 0xc049};
    const std::array<double, 2> wide = {0.1, -1e300};
    const std::array<int64_t, 2> fits = {-2147483648, 2147483647}, large = {0, 2147483648};
    SafetensorsWriter writer;
    writer.add_raw("half", "F16", std::as_bytes(std::span(half)), {8});
    writer.add_raw("brain", "BF16", std::as_bytes(std::span(brain)), {2});
    writer.add_raw("wide", "F64", std::as_bytes(std::span(wide)), {2});
    writer.add_raw("fits", "I64", std::as_bytes(std::span(fits)), {2});
    writer.add_raw("large", "I64", std::as_bytes(std::span(large)), {2});
    writer.write(folder / "f");
    const SafetensorsFile file(folder / "f");
    const std::string place = (folder / "f").string() + ": tensor ";

    std::array<float, 8> h{};
    file.read("half", h);
    CHECK(h[0] == 1.0f);
    CHECK(h[1] == -2.0f);
    CHECK(h[2] == 0x1p-24f);
    CHECK(h[3] == 1023 * 0x1p-24f);
    CHECK(h[4] == 65504.0f);
    CHECK(h[5] == std::numeric_limits<float>::infinity());
    CHECK(h[6] == -std::numeric_limits<float>::infinity());
    CHECK(std::isnan(h[7]));
    std::array<float, 2> two{};
    file.read("brain", two);
    CHECK(two == std::array{1.0f, -3.140625f});
    file.read("wide", two);
    CHECK(two == std::array{0.1f, -std::numeric_limits<float>::infinity()});
    std::array<int32_t, 2> n{};
    file.read("fits", n);
    CHECK(n == std::array{std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()});

    CHECK_THROWS_WITH_AS(file.read("large", n), (place + "large: 2147483648 does not fit in 32 bits").c_str(), Error);
    CHECK_THROWS_WITH_AS(file.read("fits", two), (place + "fits: expected F32, F16, BF16 or F64, found I64").c_str(),
                         Error);
    CHECK_THROWS_WITH_AS(file.read("wide", n), (place + "wide: expected I32 or I64, found F64").c_str(), Error);
    CHECK_THROWS_WITH_AS(file.read("half", two), (place + "half: expected 2 elements, found 8 in shape [8]").c_str(),
                         Error);
    const std::array<int64_t, 2> shape = {2, 4};
    CHECK_THROWS_WITH_AS(file.read("half", h, shape), (place + "half: expected shape [2, 4], found [8]").c_str(),
                         Error);
    CHECK_THROWS_WITH_AS(file.read("none", h), ((folder / "f").string() + ": no tensor named none").c_str(), Error);
}

TEST_CASE("every malformed header is refused, with its place") {
    const auto one = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
        return file_of(R"({"t":)" + entry(dtype, shape, offsets) + "}", "12345678");
    };
    REQUIRE(complaint(one("F32", "[2]", "[0,8]")) == "");
    const std::pair<std::string, std::string> cases[] = {
        {"", "not a safetensors file: 0 bytes"},
        {"1234567", "not a safetensors file: 7 bytes"},
        {file_of("{}", "", 3), "truncated: a header of 3 bytes in a file of 10"},
        {file_of("{}", "", ~uint64_t{0}), "at most 100000000 are allowed"},
        {file_of("{}", "", 100'000'001), "at most 100000000 are allowed"},
        {file_of(""), "does not begin with {"},
        {file_of(" {}"), "does not begin with {"},
        {file_of("\xef\xbb\xbf{}"), "does not begin with {"},
        {file_of("[]"), "does not begin with {"},
        {file_of("{"), "not JSON at byte 9"},
        {file_of("{}x"), "not JSON at byte 10: syntax error"},
        {file_of(std::string("{}\0{}", 5)), "not JSON at byte 10: a zero byte"},
        {file_of("{} // no"), "not JSON"},
        {file_of("{\"\xff\":1}"), "not JSON"},
        {file_of(R"({"t":1})"), "the number 1 where an object belongs"},
        {file_of(R"({"t":null})"), "null where an object belongs"},
        {file_of(R"({"t":[1]})"), "an array where an object belongs"},
        {file_of(R"({"t":"x"})"), "a string where an object belongs"},
        {file_of(R"({"t":{}})"), "tensor t: has 0 of the keys"},
        {file_of(R"({"t":{"dtype":"F32","shape":[1]}})", "1234"), "tensor t: has 2 of the keys"},
        {file_of(R"({"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})", "1234"), "tensor t: unknown key x"},
        {file_of(R"({"t":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "1234"),
         "tensor t: dtype is there twice"},
        {file_of(R"({"t":)" + entry("U8", "[1]", "[0,1]") + R"(,"t":)" + entry("U8", "[1]", "[1,2]") + "}", "12"),
         "t is there twice"},
        {file_of(R"({"__metadata__":{},"__metadata__":{}})"), "__metadata__ is there twice"},
        {file_of(R"({"__metadata__":{"a":"1","a":"2"}})"), "a of __metadata__ is there twice"},
        {file_of(R"({"__metadata__":{"a":1}})"), "__metadata__: a: the number 1 does not belong there"},
        {file_of(R"({"__metadata__":{"a":{}}})"), "__metadata__: a: an object does not belong there"},
        {file_of(R"({"__metadata__":"a"})"), "a string where an object belongs"},
        {file_of(R"({"t":{"dtype":7,"shape":[1],"data_offsets":[0,4]}})", "1234"), "dtype: the number 7"},
        {file_of(R"({"t":{"dtype":["F32"],"shape":[1],"data_offsets":[0,4]}})", "1234"), "dtype: an array"},
        {one("F33", "[2]", "[0,8]"), "tensor t: unknown dtype F33"},
        {one("", "[2]", "[0,8]"), "tensor t: unknown dtype"},
        {one("F32", "2", "[0,8]"), "shape: the number 2"},
        {one("F32", "[-2]", "[0,8]"), "shape: the number -2"},
        {one("F32", "[2.0]", "[0,8]"), "shape: the number 2.0"},
        {one("F32", "[2e0]", "[0,8]"), "shape: the number 2e0"},
        {one("F32", "[[2]]", "[0,8]"), "shape: an array"},
        {one("F32", "[true]", "[0,8]"), "shape: a boolean"},
        {one("F32", "[18446744073709551615]", "[0,8]"), "a dimension of 18446744073709551615"},
        {one("F32", "[4611686018427387904,4]", "[0,8]"), "overflows"},
        {one("F32", "[4294967296,4294967296,0]", "[0,8]"), "overflows"},
        {one("U8", "[3037000500,3037000500]", "[0,8]"), "overflows"},  // fits in 64 bits, but not with a sign
        {one("F32", "[3]", "[0,8]"), "F32 of shape [3] needs 12 bytes, data_offsets give 8"},
        {one("F32", "[2]", "[8,0]"), "data_offsets run backwards, from 8 to 0"},
        {one("F32", "[2]", "[0]"), "1 data_offsets instead of two"},
        {one("F32", "[2]", "[0,8,8]"), "more than two data_offsets"},
        {one("F32", "[2]", "[-8,0]"), "data_offsets: the number -8"},
        {one("F32", "[2]", "[8,16]"), "begins at byte 8 of the data, expected 0: a hole"},
        {one("F32", "[1]", "[0,4]"), "the header describes 4 bytes of data, the file has 8"},
        {file_of(R"({"t":)" + entry("U8", "[9]", "[0,9]") + "}", "12345678"),
         "the header describes 9 bytes of data, the file has 8"},
        {file_of(R"({"t":)" + entry("U8", "[2]", "[0,2]") + R"(,"u":)" + entry("U8", "[2]", "[1,3]") + "}", "123"),
         "tensor u begins at byte 1 of the data, expected 2: it overlaps another"},
        {file_of(R"({"t":)" + entry("U8", "[1]", "[0,1]") + R"(,"u":)" + entry("U8", "[1]", "[2,3]") + "}", "123"),
         "tensor u begins at byte 2 of the data, expected 1: a hole"},
        {file_of("{}", "1"), "the header describes 0 bytes of data, the file has 1"},
    };
    for (const auto& malformed : cases) {
        const std::string found = complaint(malformed.first), &expected = malformed.second;
        CHECK_MESSAGE(found.find(expected) != found.npos, "expected '", expected, "', found '", found, "'");
    }
    CHECK(complaint(file_of(std::string(200'000, '[').insert(0, "{\"t\":"))) != "");  // depth is no danger
}

TEST_CASE("a missing file or a folder is an error that names it") {
    const TemporaryFolder folder;
    CHECK_THROWS_AS(SafetensorsFile(folder / "none"), Error);
    CHECK_THROWS_AS(SafetensorsFile(folder.path()), Error);
}

TEST_CASE("a file cut anywhere is refused") {
    const std::string intact = file_of(kTwo, kTwoData);
    REQUIRE(complaint(intact) == "");
    for (size_t size = 0; size < intact.size(); ++size) CHECK(complaint(intact.substr(0, size)) != "");
    CHECK(complaint(intact + "1") != "");
}

TEST_CASE("whatever byte of the header changes, the reader refuses or gives a consistent view") {
    const std::string intact = file_of(kTwo, kTwoData);
    const TemporaryFolder folder;
    int refused = 0, read = 0;
    for (size_t at = 0; at < intact.size() - kTwoData.size(); ++at)
        for (int flip = 1; flip < 256; flip += at < 8 ? 1 : 5) {
            std::string bytes = intact;
            bytes[at] = static_cast<char>(bytes[at] ^ flip);
            std::ofstream(folder / "f", std::ios::binary) << bytes;
            try {
                const SafetensorsFile file(folder / "f");
                uint64_t sum = 0;
                for (const auto& [name, info] : file.tensors()) {
                    const auto view = file.bytes(name);
                    sum += view.size();
                    REQUIRE(info.begin + view.size() <= kTwoData.size());
                    CHECK(std::memcmp(view.data(), kTwoData.data() + info.begin, view.size()) == 0);
                }
                CHECK(sum == kTwoData.size());
                ++read;
            } catch (const Error&) {
                ++refused;
            }
        }
    CHECK(refused > 5000);
    CHECK(read > 100);  // letters of names and metadata
}

TEST_CASE("the writer refuses what no reader would take") {
    const TemporaryFolder folder;
    const std::array<float, 2> data = {1, 2};
    SafetensorsWriter writer;
    writer.add("t", data, {2});
    CHECK_THROWS_AS(writer.add("t", data, {2}), Error);
    CHECK_THROWS_AS(writer.add("u", data, {3}), Error);
    CHECK_THROWS_AS(writer.add("u", data, {-2}), Error);
    CHECK_THROWS_AS(writer.add("__metadata__", data, {2}), Error);
    CHECK_THROWS_AS(writer.add_raw("u", "F12", std::as_bytes(std::span(data)), {2}), Error);
    writer.add("bad \xff name", data, {2});
    CHECK_THROWS_AS(writer.write(folder / "f"), Error);
    CHECK_FALSE(fs::exists(folder / "f"));
}
