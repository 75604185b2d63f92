#include <gumbo.h>

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "data/text/markup.h"
#include "data/text/parser_memory.h"

namespace dropforge::data {

namespace {

/// What stands between two pieces of text, the least first.
enum class Gap : uint8_t { none, space, tab, line, paragraph };

/// How an element shows: the gap before and after it, or not at all.
struct Box {
    Gap gap = Gap::none;
    bool hidden = false, verbatim = false;
};

using Boxes = std::array<Box, GUMBO_TAG_LAST + 1>;

/// What the HTML standard says of rendering (section 15.3), as far as text without a layout can follow it. An element
/// that it does not know, or that is drawn as a box in a line, parts words.
constexpr Boxes kBoxes = [] {
    Boxes boxes{};
    boxes.fill({.gap = Gap::space});  // as a default of the member g++ 12 would lose it
    const auto set = [&boxes](std::initializer_list<GumboTag> tags, Box box) {
        for (const GumboTag tag : tags) boxes[tag] = box;
    };
    set({GUMBO_TAG_A,    GUMBO_TAG_ABBR,   GUMBO_TAG_ACRONYM, GUMBO_TAG_B,    GUMBO_TAG_BDI,   GUMBO_TAG_BDO,
         GUMBO_TAG_BIG,  GUMBO_TAG_BLINK,  GUMBO_TAG_CITE,    GUMBO_TAG_CODE, GUMBO_TAG_DATA,  GUMBO_TAG_DEL,
         GUMBO_TAG_DFN,  GUMBO_TAG_EM,     GUMBO_TAG_FONT,    GUMBO_TAG_I,    GUMBO_TAG_INS,   GUMBO_TAG_KBD,
         GUMBO_TAG_MARK, GUMBO_TAG_NOBR,   GUMBO_TAG_Q,       GUMBO_TAG_RB,   GUMBO_TAG_RP,    GUMBO_TAG_RT,
         GUMBO_TAG_RTC,  GUMBO_TAG_RUBY,   GUMBO_TAG_S,       GUMBO_TAG_SAMP, GUMBO_TAG_SMALL, GUMBO_TAG_SPAN,
         GUMBO_TAG_SUB,  GUMBO_TAG_STRIKE, GUMBO_TAG_STRONG,  GUMBO_TAG_SUP,  GUMBO_TAG_TIME,  GUMBO_TAG_TT,
         GUMBO_TAG_U,    GUMBO_TAG_VAR,    GUMBO_TAG_WBR},
        {Gap::none});
    set({GUMBO_TAG_TD, GUMBO_TAG_TH}, {Gap::tab});
    set({GUMBO_TAG_BR, GUMBO_TAG_DD, GUMBO_TAG_DT, GUMBO_TAG_LI, GUMBO_TAG_OPTION, GUMBO_TAG_OPTGROUP, GUMBO_TAG_TR},
        {Gap::line});
    set({GUMBO_TAG_ADDRESS,  GUMBO_TAG_ARTICLE, GUMBO_TAG_ASIDE,      GUMBO_TAG_BLOCKQUOTE, GUMBO_TAG_CAPTION,
         GUMBO_TAG_CENTER,   GUMBO_TAG_DETAILS, GUMBO_TAG_DIR,        GUMBO_TAG_DIV,        GUMBO_TAG_DL,
         GUMBO_TAG_FIELDSET, GUMBO_TAG_FIGURE,  GUMBO_TAG_FIGCAPTION, GUMBO_TAG_FOOTER,     GUMBO_TAG_FORM,
         GUMBO_TAG_H1,       GUMBO_TAG_H2,      GUMBO_TAG_H3,         GUMBO_TAG_H4,         GUMBO_TAG_H5,
         GUMBO_TAG_H6,       GUMBO_TAG_HEADER,  GUMBO_TAG_HGROUP,     GUMBO_TAG_HR,         GUMBO_TAG_LEGEND,
         GUMBO_TAG_MAIN,     GUMBO_TAG_MENU,    GUMBO_TAG_NAV,        GUMBO_TAG_OL,         GUMBO_TAG_P,
         GUMBO_TAG_SECTION,  GUMBO_TAG_SUMMARY, GUMBO_TAG_TABLE,      GUMBO_TAG_TITLE,      GUMBO_TAG_UL},
        {Gap::paragraph});
    set({GUMBO_TAG_LISTING, GUMBO_TAG_PLAINTEXT, GUMBO_TAG_PRE, GUMBO_TAG_TEXTAREA, GUMBO_TAG_XMP},
        {.gap = Gap::paragraph, .verbatim = true});
    // Not the text of <noscript> and <object>: nothing is run or loaded here. The other fallbacks say little but that
    // a browser is too old.
    set({GUMBO_TAG_AUDIO, GUMBO_TAG_CANVAS, GUMBO_TAG_DATALIST, GUMBO_TAG_IFRAME, GUMBO_TAG_NOEMBED, GUMBO_TAG_NOFRAMES,
         GUMBO_TAG_SCRIPT, GUMBO_TAG_STYLE, GUMBO_TAG_TEMPLATE, GUMBO_TAG_VIDEO},
        {.hidden = true});
    return boxes;
}();

constexpr std::string_view kSpaces = " \t\n\f\r";

/// Text as it grows, in which a gap is written when something follows.
class TextWriter {
  public:
    void gap(Gap gap) { gap_ = std::max(gap_, gap); }

    void add(std::string_view text, bool verbatim) {
        if (verbatim) {
            append(text);
            return;
        }
        while (!text.empty()) {
            const size_t begin = text.find_first_not_of(kSpaces);
            if (begin != 0) gap(Gap::space);
            if (begin == std::string_view::npos) return;
            const size_t end = std::min(text.find_first_of(kSpaces, begin), text.size());
            append(text.substr(begin, end - begin));
            text.remove_prefix(end);
        }
    }

    std::string take() { return std::move(text_); }

  private:
    void append(std::string_view text) {
        if (text.empty()) return;
        constexpr std::array<std::string_view, 5> kGaps = {"", " ", "\t", "\n", "\n\n"};
        if (!text_.empty()) text_ += kGaps[static_cast<size_t>(gap_)];
        gap_ = Gap::none;
        text_ += text;
    }

    std::string text_;
    Gap gap_ = Gap::none;
};

bool is_element(const GumboNode& node) { return node.type == GUMBO_NODE_ELEMENT || node.type == GUMBO_NODE_TEMPLATE; }

bool is_text(const GumboNode& node) {
    return node.type == GUMBO_NODE_TEXT || node.type == GUMBO_NODE_WHITESPACE || node.type == GUMBO_NODE_CDATA;
}

std::string text_of(const GumboNode& root) {
    struct Open {
        const GumboElement* element;
        unsigned next_child;
    };
    std::vector<Open> open = {{&root.v.element, 0}};  // not by recursion: elements may be nested a million deep
    size_t verbatim = 0;                              // open elements that keep white space
    TextWriter text;
    while (!open.empty()) {
        const GumboElement& parent = *open.back().element;
        if (open.back().next_child == parent.children.length) {
            const Box box = kBoxes[parent.tag];
            text.gap(box.gap);
            verbatim -= box.verbatim ? 1 : 0;
            open.pop_back();
            continue;
        }
        const auto& node = *static_cast<const GumboNode*>(parent.children.data[open.back().next_child++]);
        if (is_text(node)) text.add(node.v.text.text, verbatim > 0);
        if (!is_element(node)) continue;
        const GumboElement& element = node.v.element;
        const Box box = kBoxes[element.tag];
        if (box.hidden || gumbo_get_attribute(&element.attributes, "hidden") != nullptr) continue;
        text.gap(box.gap);
        verbatim += box.verbatim ? 1 : 0;
        const GumboAttribute* alternative =
            element.tag == GUMBO_TAG_IMG ? gumbo_get_attribute(&element.attributes, "alt") : nullptr;
        if (alternative != nullptr) text.add(alternative->value, false);
        open.push_back({&element, 0});
    }
    return text.take();
}

/// Numeric references of more digits than any character has, cut to so many that they are none: gumbo's number would
/// overflow, and its own assertion would end the program.
std::string with_short_references(std::string source) {
    constexpr size_t kMostDigits = 9;  // fits into 31 bits, in base 10; seven are enough in base 16
    std::string result;
    size_t copied = 0;
    for (size_t at = source.find("&#"); at != std::string::npos; at = source.find("&#", at + 2)) {
        size_t begin = at + 2;
        const bool hexadecimal = begin < source.size() && (source[begin] == 'x' || source[begin] == 'X');
        if (hexadecimal) ++begin;
        const char* digits = hexadecimal ? "0123456789abcdefABCDEF" : "0123456789";
        const size_t end = std::min(source.find_first_not_of(digits, begin), source.size());
        const size_t most = hexadecimal ? kMostDigits - 2 : kMostDigits;
        const size_t first = std::min(source.find_first_not_of('0', begin), end);
        if (end - first <= most) continue;
        result.append(source, copied, first + most - copied);
        copied = end;
    }
    if (copied == 0) return source;
    return result.append(source, copied, std::string::npos);
}

}  // namespace

std::string html_text(std::string source) {
    if (source.size() > kLongestMarkup) throw MarkupLimit("it is longer than {} MB", kLongestMarkup >> 20);
    source = with_short_references(std::move(source));
    ParserMemory memory(source.size());
    GumboOptions options = kGumboDefaultOptions;
    options.userdata = &memory;
    options.allocator = [](void* userdata, size_t bytes) {
        return static_cast<ParserMemory*>(userdata)->allocate(bytes);
    };
    options.deallocator = [](void* userdata, void* block) { static_cast<ParserMemory*>(userdata)->free(block); };
    options.max_errors = 0;
    // As the content of a <body>: the same text, but for pages of frames, and without the one thing that gumbo does by
    // recursion, which is to remove a body when a <frameset> follows.
    options.fragment_context = GUMBO_TAG_BODY;
    const GumboOutput* parsed = nullptr;
    memory.run([&] { parsed = gumbo_parse_with_options(&options, source.data(), source.size()); });
    return text_of(*parsed->root);
}

}  // namespace dropforge::data
