// Python's str.lower() and the letters of its regular expressions: what it gives for these.
#include "data/text/letters.h"

#include <doctest/doctest.h>

using namespace dropforge::data;

TEST_CASE("small letters: one code point each, but for İ") {
    CHECK(in_small_letters("ABC xyz 1") == "abc xyz 1");
    CHECK(in_small_letters("\u00c9\u0416\u1e9e\U00010400") == "\u00e9\u0436\u00df\U00010428");
    CHECK(in_small_letters("\u0130x") == "i\u0307x");
    CHECK(in_small_letters("\u01c5\u2160\u24b6") == "\u01c6\u2170\u24d0");
    CHECK(in_small_letters("\u00df\ufb01\u5b57") == "\u00df\ufb01\u5b57");
    CHECK(in_small_letters("").empty());
}

TEST_CASE("small letters: sigma at the end of a word, with what may stand around it") {
    CHECK(in_small_letters("\u03a3") == "\u03c3");
    CHECK(in_small_letters("A\u03a3") == "a\u03c2");
    CHECK(in_small_letters("\u03a3A") == "\u03c3a");
    CHECK(in_small_letters("A\u03a3A") == "a\u03c3a");
    CHECK(in_small_letters("A\u03a3 A") == "a\u03c2 a");
    CHECK(in_small_letters("A\u0301\u03a3.'\u00b7") == "a\u0301\u03c2.'\u00b7");
    CHECK(in_small_letters("A\u03a3.A") == "a\u03c3.a");
    CHECK(in_small_letters("1\u03a3") == "1\u03c3");
    CHECK(in_small_letters("\u5b57\u03a3") == "\u5b57\u03c3");
    CHECK(in_small_letters("\u2160\u03a3") == "\u2170\u03c2");
    CHECK(in_small_letters("\u00aa\u03a3\u24d0") == "\u00aa\u03c3\u24d0");
    CHECK(in_small_letters("\u02b0\u03a3") == "\u02b0\u03c3");  // cased, but passed over
    CHECK(in_small_letters("A\u03a3\u03a3") == "a\u03c3\u03c2");
}

TEST_CASE("letters and numbers") {
    for (const char32_t c : U"az09\u00e9\u5b57\u00b2\u2160\u0663\u00aa\U0001d400")
        if (c != 0) CHECK(is_letter_or_number(c));
    for (const char32_t c : U"_ -.\u0301\u00ab\u20ac\u200d\U0001f600")
        if (c != 0) CHECK(!is_letter_or_number(c));
}
