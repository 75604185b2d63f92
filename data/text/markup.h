// Conversion of Markdown and HTML to plain text: the text that a browser shows. It takes a document at once, since the
// end of an element may not be known before the end of the document.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/error.h"

namespace dropforge::data {

/// Thrown for a document that would take the parsers too much time or memory. The message says which, and names no
/// file.
class MarkupLimit : public Error {
  public:
    using Error::Error;
};

/// The limit of a document's size. Parsing takes 8 to 15 times its size in memory; the longest pages that people write,
/// such as the HTML standard on one page, are half as long.
constexpr size_t kLongestMarkup = size_t{32} << 20;

/// The text of an HTML page, by gumbo, which implements the HTML standard's parsing. White space is as displayed: a run
/// is one space, except in <pre>; lines end at <br>, list items and rows of tables, and blank lines separate
/// paragraphs. Scripts, styles, templates, comments and elements with the attribute `hidden` are dropped; an image's
/// alternative text is kept. Throws MarkupLimit. (Takes a std::string for its zero byte: gumbo reads the byte after a
/// character reference at the end.)
std::string html_text(std::string source);

/// The text of a Markdown document, by cmark-gfm: CommonMark with GitHub's tables, strikethrough and task lists. Of
/// links the text is kept, of images the description. Throws MarkupLimit.
std::string markdown_text(std::string_view source);

}  // namespace dropforge::data
