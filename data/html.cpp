// HTML to text: the states of the HTML standard's tokenizer (section 13.2.5) that matter for text.
#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "data/markup.h"

namespace dropforge::data {

namespace {

constexpr size_t kLongestName = 16;

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

/// Elements inside a line: their tags leave no trace, since a word may go on across them.
constexpr auto kInline = std::to_array<std::string_view>(
    {"a",    "abbr",   "acronym", "b",   "bdi", "bdo",  "big", "cite", "code", "data", "del",  "dfn",
     "em",   "font",   "i",       "ins", "kbd", "mark", "q",   "rb",   "ruby", "s",    "samp", "small",
     "span", "strike", "strong",  "sub", "sup", "time", "tt",  "u",    "var",  "wbr"});

constexpr auto kHidden = std::to_array<std::string_view>({"script", "style"});

/// The named references of U+00A0 … U+00FF in order.
constexpr auto kLatin1 = std::to_array<std::string_view>(
    {"nbsp",   "iexcl",  "cent",   "pound",  "curren", "yen",    "brvbar", "sect",   "uml",    "copy",   "ordf",
     "laquo",  "not",    "shy",    "reg",    "macr",   "deg",    "plusmn", "sup2",   "sup3",   "acute",  "micro",
     "para",   "middot", "cedil",  "sup1",   "ordm",   "raquo",  "frac14", "frac12", "frac34", "iquest", "Agrave",
     "Aacute", "Acirc",  "Atilde", "Auml",   "Aring",  "AElig",  "Ccedil", "Egrave", "Eacute", "Ecirc",  "Euml",
     "Igrave", "Iacute", "Icirc",  "Iuml",   "ETH",    "Ntilde", "Ograve", "Oacute", "Ocirc",  "Otilde", "Ouml",
     "times",  "Oslash", "Ugrave", "Uacute", "Ucirc",  "Uuml",   "Yacute", "THORN",  "szlig",  "agrave", "aacute",
     "acirc",  "atilde", "auml",   "aring",  "aelig",  "ccedil", "egrave", "eacute", "ecirc",  "euml",   "igrave",
     "iacute", "icirc",  "iuml",   "eth",    "ntilde", "ograve", "oacute", "ocirc",  "otilde", "ouml",   "divide",
     "oslash", "ugrave", "uacute", "ucirc",  "uuml",   "yacute", "thorn",  "yuml"});
static_assert(kLatin1.size() == 96);

constexpr auto kOthers = std::to_array<std::pair<std::string_view, uint32_t>>(
    {{"amp", '&'},       {"lt", '<'},        {"gt", '>'},        {"quot", '"'},      {"apos", '\''},
     {"ndash", 0x2013},  {"mdash", 0x2014},  {"lsquo", 0x2018},  {"rsquo", 0x2019},  {"sbquo", 0x201A},
     {"ldquo", 0x201C},  {"rdquo", 0x201D},  {"bdquo", 0x201E},  {"hellip", 0x2026}, {"bull", 0x2022},
     {"dagger", 0x2020}, {"Dagger", 0x2021}, {"permil", 0x2030}, {"prime", 0x2032},  {"Prime", 0x2033},
     {"euro", 0x20AC},   {"trade", 0x2122},  {"larr", 0x2190},   {"uarr", 0x2191},   {"rarr", 0x2192},
     {"darr", 0x2193},   {"minus", 0x2212},  {"le", 0x2264},     {"ge", 0x2265},     {"ne", 0x2260},
     {"asymp", 0x2248},  {"infin", 0x221E},  {"radic", 0x221A},  {"sum", 0x2211},    {"OElig", 0x152},
     {"oelig", 0x153},   {"Scaron", 0x160},  {"scaron", 0x161},  {"Yuml", 0x178},    {"ensp", 0x2002},
     {"emsp", 0x2003},   {"thinsp", 0x2009}, {"zwnj", 0x200C},   {"zwj", 0x200D},    {"lrm", 0x200E},
     {"rlm", 0x200F}});

/// What pages mean by &#128; … &#159;: the characters of Windows-1252 (HTML standard, 13.2.5.80).
constexpr std::array<uint32_t, 32> kWindows = {0x20AC, 0x81,   0x201A, 0x192,  0x201E, 0x2026, 0x2020, 0x2021,
                                               0x2C6,  0x2030, 0x160,  0x2039, 0x152,  0x8D,   0x17D,  0x8F,
                                               0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
                                               0x2DC,  0x2122, 0x161,  0x203A, 0x153,  0x9D,   0x17E,  0x178};

void append_utf8(uint32_t code, std::string& out) {
    if (code >= 0x80 && code <= 0x9F) code = kWindows[code - 0x80];
    if (code == 0 || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) code = 0xFFFD;
    const auto byte = [&](uint32_t value) { out += static_cast<char>(value); };
    if (code < 0x80) {
        byte(code);
    } else if (code < 0x800) {
        byte(0xC0 | code >> 6);
        byte(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        byte(0xE0 | code >> 12);
        byte(0x80 | (code >> 6 & 0x3F));
        byte(0x80 | (code & 0x3F));
    } else {
        byte(0xF0 | code >> 18);
        byte(0x80 | (code >> 12 & 0x3F));
        byte(0x80 | (code >> 6 & 0x3F));
        byte(0x80 | (code & 0x3F));
    }
}

constexpr uint32_t kNoReference = ~uint32_t{0};

/// "#8212", "#x2014": the code point; kNoReference if it is not a number.
uint32_t numeric_reference(std::string_view name) {
    name.remove_prefix(1);
    const uint32_t base = !name.empty() && lower(name.front()) == 'x' ? 16 : 10;
    if (base == 16) name.remove_prefix(1);
    if (name.empty()) return kNoReference;
    uint32_t code = 0;
    for (const char c : name) {
        const uint32_t digit = is_digit(c)    ? static_cast<uint32_t>(c - '0')
                               : is_letter(c) ? static_cast<uint32_t>(lower(c) - 'a') + 10
                                              : 99;
        if (digit >= base) return kNoReference;
        code = std::min(code * base + digit, uint32_t{0x110000});
    }
    return code;
}

uint32_t reference(std::string_view name) {
    if (name.starts_with('#')) return numeric_reference(name);
    const auto* latin = std::ranges::find(kLatin1, name);
    if (latin != kLatin1.end()) return 0xA0 + static_cast<uint32_t>(latin - kLatin1.begin());
    const auto* other = std::ranges::find(kOthers, name, &std::pair<std::string_view, uint32_t>::first);
    return other == kOthers.end() ? kNoReference : other->second;
}

}  // namespace

void HtmlStripper::feed(std::string_view bytes, std::string& out) {
    for (size_t i = 0; i < bytes.size();) {
        if (state_ == State::text) {
            const size_t end = std::min(bytes.find_first_of("<&", i), bytes.size());
            out += bytes.substr(i, end - i);
            i = end;
            if (i == bytes.size()) break;
        }
        if (step(bytes[i], out)) ++i;
    }
}

void HtmlStripper::finish(std::string& out) {
    if (state_ == State::reference) end_reference(out, false);
    if (state_ == State::tag_open) out.append("<").append(name_);
    state_ = State::text;
}

bool HtmlStripper::step(char c, std::string& out) {
    switch (state_) {
        case State::text:
            name_.clear();
            state_ = c == '<' ? State::tag_open : State::reference;
            return true;
        case State::reference:
            if ((is_letter(c) || is_digit(c) || (c == '#' && name_.empty())) && name_.size() < kLongestName) {
                name_ += c;
                return true;
            }
            end_reference(out, c == ';');
            state_ = State::text;
            return c == ';';
        case State::tag_open:  // name_: what follows '<', "/" at most
            if (is_letter(c)) {
                state_ = State::tag_name;
                return false;
            }
            if (c == '/' && name_.empty()) {
                name_.push_back('/');
                return true;
            }
            if (name_.empty() && (c == '!' || c == '?')) {
                dashes_ = 0;
                state_ = State::declaration;
                return true;
            }
            out.append("<").append(name_);  // "a < b" is text
            state_ = State::text;
            return false;
        case State::tag_name:
            if (!is_blank(c) && c != '>' && c != '/') {
                if (name_.size() < kLongestName) name_ += lower(c);
                return true;
            }
            end_tag_name(out);
            state_ = State::tag;
            return false;
        case State::tag:
            if (c == '>') {
                end_tag();
            } else if (c == '=') {
                state_ = State::attribute_value;
            }
            return true;
        case State::attribute_value:  // a '>' inside quotes does not end the tag
            if (is_blank(c)) return true;
            quote_ = c;
            state_ = c == '"' || c == '\'' ? State::quoted : State::tag;
            return state_ == State::quoted;
        case State::quoted:
            if (c == quote_) state_ = State::tag;
            return true;
        case State::declaration:  // <!doctype …>, <?xml …>, or the start of a comment
            if (c == '>') {
                state_ = State::text;
            } else if (c == '-' && dashes_ >= 0) {
                if (++dashes_ == 2) state_ = State::comment;
            } else {
                dashes_ = -1;
            }
            return true;
        case State::comment:
            if (c == '>' && dashes_ >= 2) state_ = State::text;
            dashes_ = c == '-' ? dashes_ + 1 : 0;
            return true;
        case State::hidden:  // name_: the bytes since the last '<'
            if (c == '<') name_.clear();
            if (name_.size() < kLongestName) name_ += lower(c);
            if (name_ == hidden_until_) state_ = State::tag;
            return true;
    }
    return true;
}

void HtmlStripper::end_tag_name(std::string& out) {
    const std::string_view name = name_.starts_with('/') ? std::string_view(name_).substr(1) : name_;
    if (std::ranges::find(kInline, name) == kInline.end()) out += '\n';
    hidden_until_.clear();
    if (std::ranges::find(kHidden, std::string_view(name_)) != kHidden.end()) hidden_until_ = "</" + name_;
}

void HtmlStripper::end_tag() {
    state_ = hidden_until_.empty() || name_ == hidden_until_ ? State::text : State::hidden;
    name_.clear();
}

void HtmlStripper::end_reference(std::string& out, bool with_semicolon) {
    const uint32_t code = reference(name_);
    if (code == kNoReference || (!with_semicolon && !name_.starts_with('#'))) {
        out.append("&").append(name_).append(with_semicolon ? ";" : "");  // "AT&T" is text
    } else {
        append_utf8(code, out);
    }
}

}  // namespace dropforge::data
