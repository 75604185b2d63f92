// JSON of strangers: one clear line for what is wrong with it.
#include "base/json.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "base/json_object.h"
#include "tests/support/message_of.h"

using namespace dropforge;
using dropforge::test::message_of;

namespace {

std::string error_of(const std::string& text) {
    return message_of([&] { parse_json(text, "file"); });
}

std::string repeated(const std::string& part, int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += part;
    return text;
}

}  // namespace

TEST_CASE("JSON: what is none, and where") {
    CHECK(error_of("{\"a\": 1}") == "");
    CHECK(error_of("\xEF\xBB\xBF{\"a\": 1}") == "");  // a byte order mark
    for (const std::string text : {"", "{", "{\"a\":}", "{'a': 1}", "{\"a\": 1,}", "{\"a\": NaN}", "{\"a\": 01}",
                                   "{} {}", "\xFF\xFE{\0", "{\"\xC3\": 1}", "{\"a\": \"\n\"}"}) {
        CAPTURE(text);
        CHECK(error_of(text).starts_with("file: not JSON: parse error at line "));
        CHECK(error_of(text).find('\n') == std::string::npos);
    }
    CHECK(error_of("\xFF\xFE{").ends_with("syntax error while parsing value - invalid literal"));
    CHECK(error_of("{\"a\": 1e999}") == "file: not JSON: number overflow parsing '1e999'");
}

TEST_CASE("JSON: the keys of the outermost object, in the order of the text") {
    std::vector<std::string> keys;
    parse_json(R"({"b": {"x": 1}, "a": [{"y": 2}], "c": 3})", "file", &keys);
    CHECK(keys == std::vector<std::string>{"b", "a", "c"});
    keys.clear();
    parse_json(R"([{"a": 1}])", "file", &keys);
    CHECK(keys.empty());
}

TEST_CASE("JSON: nested deep, in every form, whole or not") {
    CHECK(error_of(repeated("[", 32) + repeated("]", 32)) == "");
    for (const std::string open : {"[", "{\"a\":", "[{\"a\":"})
        for (const std::string end : {"", "1"})
            CHECK(error_of(repeated(open, 100000) + end) == "file: nested more than 32 deep");
}

TEST_CASE("JSON: a key that is there twice, but not in different objects") {
    CHECK(error_of(R"({"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]})") == "");
    CHECK(error_of(R"({"a": 1, "b": 2, "a": 1})") == "file: the key \"a\" is there twice");
    CHECK(error_of(R"({"b": {"\n": 1, "\n": 2}})") == "file: the key \"\\n\" is there twice");
}

TEST_CASE("a count: a whole number that is not negative, and nothing that the library would have to convert") {
    const nlohmann::json json = parse_json(
        R"({"none": 0, "most": 18446744073709551615, "less": -1, "half": 1.5, "large": 6.66667e+43, "text": "7"})",
        "a.json");
    CHECK(count_in(json, "none") == 0);
    CHECK(count_in(json, "most") == 18446744073709551615u);
    CHECK(count_in({{"own", 3}}, "own") == 3);
    const auto refusal = [&](const char* key) { return message_of([&] { count_in(json, key); }); };
    CHECK(refusal("less") == "less is -1, expected a whole number");
    CHECK(refusal("half") == "half is 1.5, expected a whole number");
    CHECK(refusal("large") == "large is 6.66667e+43, expected a whole number");
    CHECK(refusal("text") == "text is \"7\", expected a whole number");
    CHECK_THROWS_AS(count_in(json, "other"), nlohmann::json::exception);
}

TEST_CASE("JSON as text: keys in their order, and what is not UTF-8 replaced") {
    CHECK(json_text({{"b", "a\xFF\n"}, {"a", {1, 2}}}) == "{\"b\":\"a\xEF\xBF\xBD\\n\",\"a\":[1,2]}");
    CHECK(json_text("\"") == R"("\"")");
}

TEST_CASE("values by type: numbers out of range, floats for integers, null for a default") {
    const JsonObject json(R"({"big": 18446744073709551615, "huge": 1e30, "float": 2.0, "null": null, "text": "x",
                              "list": [{"a": 1}], "mixed": [{}, 1], "small": -9223372036854775808})",
                          "file");
    CHECK(json.integer("small") == INT64_MIN);
    CHECK(json.integer("null", 7) == 7);
    CHECK(json.integer("none", 7) == 7);
    CHECK(message_of([&] { json.integer("null"); }) == "file: the key null is missing");
    CHECK(message_of([&] { json.integer("big"); }) == "file: big must be an integer, not 18446744073709551615");
    CHECK(message_of([&] { json.integer("huge"); }) == "file: huge must be an integer, not 1e+30");
    CHECK(message_of([&] { json.integer("float"); }) == "file: float must be an integer, not 2.0");
    CHECK(message_of([&] { json.boolean("text"); }) == "file: text must be true or false, not \"x\"");
    CHECK(message_of([&] { json.object("text"); }) == "file: text must be an object, not \"x\"");
    CHECK(message_of([&] { json.objects("mixed"); }) == "file: mixed must be a list of objects, not [{},1]");
    CHECK(json.objects("list").at(0).integer("a") == 1);
    CHECK(json.objects("null").empty());
    CHECK(message_of([&] { json.objects("list").at(0).text("a"); }) == "file: list[0]: a must be a string, not 1");
}
