// Where pieces stand in the text: as Hugging Face's fast tokenizer says (tests/golden/tokenizer/places.jsonl), and on
// random text the ids of WordPiece::encode(), with places that are in order.
#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "data/tokenizer/unicode.h"
#include "tests/support/plain_tokenizer.h"

using namespace dropforge;
using namespace dropforge::data;
using namespace dropforge::test;

namespace {

struct Placed {
    Ids ids;
    std::vector<Place> places;
};

Placed place(WordPiece& tokenizer, std::string_view text) {
    Placed placed;
    tokenizer.encode_with_places(text, placed.ids, placed.places);
    return placed;
}

/// [[piece, begin, end], …]
nlohmann::json listed(const Placed& placed) {
    auto list = nlohmann::json::array();
    for (size_t i = 0; i < placed.ids.size(); ++i)
        list.push_back({vocabulary().token(placed.ids[i]), placed.places[i].begin, placed.places[i].end});
    return list;
}

}  // namespace

TEST_CASE("every case of tests/golden/tokenizer/places.jsonl, uncased and cased") {
    WordPiece uncased(vocabulary(), kUncased), cased(vocabulary(), kCased);
    std::ifstream file(fs::path(kTestData) / "tokenizer" / "places.jsonl");
    int checked = 0;
    for (std::string line; std::getline(file, line); ++checked) {
        const auto entry = nlohmann::json::parse(line);
        CAPTURE(entry.at("name").get<std::string>());
        const auto text = entry.at("text").get<std::string>();
        CHECK(listed(place(uncased, text)) == entry.at("uncased"));
        CHECK(listed(place(cased, text)) == entry.at("cased"));
    }
    CHECK(checked == 21);
}

TEST_CASE("random text: the ids of encode(), and a place for each") {
    static constexpr char32_t kOdd[] = {0,      ' ',    '\n',   0xA0,   0xAD,   0x130,  0x301,   0x3A3,   0x9C7,
                                        0x200B, 0x2028, 0x3099, 0x5B57, 0xAC00, 0xF900, 0x1D15E, 0x1D165, 0x1F44D};
    std::mt19937 random(1);
    for (const bool lower : {true, false}) {
        for (const bool strip : {true, false}) {
            WordPiece tokenizer(vocabulary(), {lower, strip, true});
            for (int round = 0; round < 1000; ++round) {
                std::string text;
                int32_t code_points = 0;
                for (; code_points < round % 60; ++code_points) {
                    char bytes[4];
                    const char32_t c =
                        random() % 2 == 0 ? kOdd[random() % std::size(kOdd)] : U"abc, theun"[random() % 10];
                    text.append(bytes, write_utf8(c, bytes));
                }
                CAPTURE(text);
                const Placed placed = place(tokenizer, text);
                Ids expected;
                tokenizer.encode(text, expected);
                REQUIRE(placed.ids == expected);
                REQUIRE(placed.places.size() == expected.size());
                for (const Place& p : placed.places) REQUIRE((p.begin >= 0 && p.begin < p.end && p.end <= code_points));
            }
        }
    }
}

TEST_CASE("it appends") {
    WordPiece tokenizer(vocabulary(), kUncased);
    Placed placed{{7}, {{0, 1}}};
    tokenizer.encode_with_places("zz the", placed.ids, placed.places);
    CHECK(placed.ids == Ids{7, 1, 22});
    CHECK(placed.places == std::vector<Place>{{0, 1}, {0, 2}, {3, 6}});
}
