// Markdown and HTML to text.
#include "data/text/markup.h"

#include <doctest/doctest.h>

#include <string>

#include "tests/support/message_of.h"

using namespace dropforge;
using namespace dropforge::data;
using namespace dropforge::test;

namespace {

std::string repeated(std::string_view part, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) all += part;
    return all;
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("HTML: elements in a line leave no trace, others part lines, cells or paragraphs") {
    CHECK(html_text("<p>One <b>bo</b>ld</p><p>Two</p>") == "One bold\n\nTwo");
    CHECK(html_text("<div>a<p>b<ul><li>c<li>d</ul>e</div>f") == "a\n\nb\n\nc\nd\n\ne\n\nf");
    CHECK(html_text("one<br/>two<hr>three") == "one\ntwo\n\nthree");
    CHECK(html_text("<table><tr><th>a<th>b<tr><td>1<td>2</table>") == "a\tb\n1\t2");
    CHECK(html_text("<dl><dt>term<dd>meaning</dl>") == "term\nmeaning");
    CHECK(html_text("a<button>b</button>c<unknown>d</unknown>e") == "a b c d e");
    CHECK(html_text("<title>Page</title><body><h1>Head</h1>text") == "Page\n\nHead\n\ntext");
    CHECK(html_text("<ruby>\u6F22<rp>(</rp><rt>kan</rt><rp>)</rp></ruby>") == "\u6F22(kan)");
}

TEST_CASE("HTML: white space is one space, but in preformatted text") {
    CHECK(html_text(" \n a \t\r\n b<span> </span> c ") == "a b c");
    CHECK(html_text("x <pre>\n  a\n\n   b</pre> y") == "x\n\n  a\n\n   b\n\ny");
    CHECK(html_text("<pre>a <i> b</i></pre>") == "a  b");
    CHECK(html_text("<textarea>a  <b></textarea>") == "a  <b>");
    CHECK(html_text("a&nbsp;&nbsp;b") == "a\u00A0\u00A0b");
}

TEST_CASE("HTML: what a browser hides goes, an image's alternative text stays") {
    CHECK(html_text("a<!-- <b> no -- > --x-->b<!---->c<!doctype html>d<?xml?>e") == "abcde");
    CHECK(html_text("<SCRIPT type='a>b'>if (a</b) x();</Script >y<style>p{}</style>z") == "yz");
    CHECK(html_text("a<template><p>b</template><iframe>c</iframe><video>d</video><p hidden>e</p>f") == "af");
    CHECK(html_text("<noscript>a</noscript><object>b</object>") == "a b");
    CHECK(html_text("see <img src=x.png alt='two  dogs'>, <img src=y.png>") == "see two dogs ,");
    CHECK(html_text("<a title=\"x > y\" href=b>link</a>, <a title='>'>two</a> <a b=c's>three</a>") ==
          "link, two three");
}

TEST_CASE("HTML: character references, with and without their semicolon") {
    CHECK(html_text("a < b && c > d, <3, AT&T &nosuch; &amp;lt; x<") == "a < b && c > d, <3, AT&T &nosuch; &lt; x<");
    CHECK(html_text("&eacute;&nbsp;&yuml;&mdash;&#65;&#x42;&#150;") == "\u00E9\u00A0\u00FF\u2014AB\u2013");
    CHECK(html_text("&#xD800;&#9999999999;&") == "\uFFFD\uFFFD&");
    CHECK(html_text("&Amacr;&amacr;&phi;&CounterClockwiseContourIntegral;&NotEqualTilde;") ==
          "\u0100\u0101\u03C6\u2233\u2242\u0338");
    CHECK(html_text("&notit; &notin; &copy2024 &phi") == "\u00ACit; \u2209 \u00A92024 &phi");
}

TEST_CASE("HTML: tags that are not closed, or nested wrongly") {
    CHECK(html_text("text<unclosed tag") == "text");
    CHECK(html_text("</p") == "");
    CHECK(html_text("x</") == "x</");
    CHECK(html_text("<b>a<i>b</b>c</i>d<p>e<div>f") == "abcd\n\ne\n\nf");
    CHECK(html_text("a<!-- never closed") == "a");
    CHECK(html_text("<table>a<tr><td>b</table>") == "a\n\nb");
    CHECK(html_text("a<frameset><frame></frameset>b") == "ab");
    CHECK(html_text(std::string("a\0b", 3)) == "ab");
    CHECK(html_text("") == "");
    CHECK(html_text("<img alt=&quot") == "");  // the parser looks at the byte after the last
    CHECK(html_text("a&quot") == "a\"");
}

TEST_CASE("Markdown: block marks") {
    CHECK(markdown_text("# Title #\n## C#\n#hash") == "Title\n\nC#\n\n#hash");
    CHECK(markdown_text("Title\n=====\n---\n* * *\ntext") == "Title\n\ntext");
    CHECK(markdown_text("> - quoted *item*\n\n1. one\n2. two\n\n- [x] done") == "quoted item\n\none\ntwo\n\ndone");
    CHECK(markdown_text("```cpp\nif (a < b) *c;\n# no\n```\nafter *x*") == "if (a < b) *c;\n# no\n\n\nafter x");
    CHECK(markdown_text("~~~\n```\n~~~\n*x*") == "```\n\n\nx");
    CHECK(markdown_text("    code\n\ntext") == "code\n\n\ntext");
    CHECK(markdown_text("| a | b |\n|---|:-:|\n| 1 | `2` |") == "a\tb\n1\t2");
    CHECK(markdown_text("[1]: http://a.b\n[see][1]") == "see");
}

TEST_CASE("Markdown: marks inside a line") {
    CHECK(markdown_text("**bold** _em_ ***both*** ~~gone~~ snake_case 2 * 3, a*b*c") ==
          "bold em both gone snake_case 2 * 3, abc");
    CHECK(markdown_text("[text](http://a.b/c_(d)) and ![alt *x*](i.png) [not a link]") ==
          "text and alt x [not a link]");
    CHECK(markdown_text("<http://a.b> x") == "http://a.b x");
    CHECK(markdown_text("use `a<b>_c_` here ``x`y``") == "use a<b>_c_ here x`y");
    CHECK(markdown_text("\\*not em\\* &amp; &hearts; <b>x</b><!-- c -->y") == "*not em* & \u2665 xy");
    CHECK(markdown_text("one\\\ntwo  \nthree") == "one\ntwo\nthree");
}

TEST_CASE("Markdown: what looks like the start of a mark and is none stays") {
    CHECK(markdown_text("if a <b, c> d, x <3 or 5 < 7, <not a tag, 5*3") ==
          "if a <b, c> d, x <3 or 5 < 7, <not a tag, 5*3");
    CHECK(markdown_text("[[[[ ]( `unclosed *") == "[[[[ ]( `unclosed *");
    CHECK(markdown_text("before\n\n<!-- a comment\n\nafter it") == "before");
    CHECK(markdown_text("before <!-- not closed\n\nafter it") == "before <!-- not closed\n\nafter it");
}

TEST_CASE("nesting that takes time or memory by its square is refused soon, or read") {
    const auto refused = [](auto text_of, const std::string& source) {
        return contains(message_of([&] { text_of(source); }), "parsing it takes more than");
    };
    std::string attributes = "<a ";
    for (int i = 0; i < 40000; ++i) attributes.append("x").append(std::to_string(i)).append(" ");
    CHECK(refused(html_text, repeated("<div>", 60000)));
    CHECK(refused(html_text, attributes + ">"));
    CHECK(refused(markdown_text, repeated("![[]()", 40000)));
    CHECK(html_text(repeated("<svg>", 100000) + "x") == "x");  // no recursion
    CHECK(markdown_text(repeated(">", 10000) + "x") == "x");
    CHECK(markdown_text(repeated("[", 300000)) == repeated("[", 300000));
    CHECK(html_text(repeated("<div>", 10000) + "<frameset>x") == "x");
}

TEST_CASE("documents that are too long are refused") {
    const std::string longer(kLongestMarkup + 1, 'x');
    CHECK(message_of([&] { html_text(longer); }) == "it is longer than 32 MB");
    CHECK(message_of([&] { markdown_text(longer); }) == "it is longer than 32 MB");
}

TEST_CASE("HTML: numeric references of any length, as many digits as a character has or more") {
    const std::string replacement = "\xEF\xBF\xBD";
    CHECK(html_text("a&#65;b&#x00000000000041;c") == "aAbAc");
    for (const char* number :
         {"2311111111111111111111111113", "99999999999", "4294967361", "xFFFFFFFFFFFFFFFF41", "x100000041"})
        CHECK(html_text(std::string("a&#") + number + ";b") == "a" + replacement + "b");
}
