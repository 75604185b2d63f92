// Markdown and HTML to plain text: what a reader of the page would read stays, what a browser would hide goes. A whole
// document in, its text out: where an element ends may be known at the end only.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/error.h"

namespace dropforge::data {

/// A document that the parsers would spend too much on. The message says what of; it names no file.
class MarkupLimit : public Error {
  public:
    using Error::Error;
};

/// The longest document. Parsed, it takes 8 to 15 times its size in memory; the longest pages that people write, the
/// HTML standard as one page among them, are half of this.
constexpr size_t kLongestMarkup = size_t{32} << 20;

/// The text of an HTML page (gumbo, by the HTML standard's rules of parsing). White space is as on the page: a run of
/// it is one space, but in <pre>; a line ends at <br>, list items and rows of tables, and blank lines part paragraphs.
/// Scripts, styles, templates, comments and what has the attribute `hidden` go; an image's alternative text stays.
/// Throws MarkupLimit. (A string with its zero byte: gumbo looks at what follows a character reference at the end.)
std::string html_text(std::string source);

/// The text of the page that CommonMark with GitHub's tables, strikethrough and task lists makes of `source`
/// (cmark-gfm): links leave their text, images their description. Throws MarkupLimit.
std::string markdown_text(std::string_view source);

}  // namespace dropforge::data
