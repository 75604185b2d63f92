// A strict look at HTML and SVG that are to be XML too.
#pragma once

#include <cctype>
#include <string>
#include <string_view>
#include <vector>

namespace dropforge::test {

namespace well_formed {

/// The end of a name that begins at `at`.
inline size_t name_end(std::string_view text, size_t at) {
    const auto is_of_name = [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == ':';
    };
    while (at < text.size() && is_of_name(text[at])) ++at;
    return at;
}

/// Whether the text's ampersands begin one of XML's own references.
inline bool references_are_known(std::string_view text) {
    for (size_t at = text.find('&'); at != std::string_view::npos; at = text.find('&', at + 1)) {
        bool known = false;
        for (const std::string_view reference : {"&amp;", "&lt;", "&gt;", "&quot;"})
            known = known || text.substr(at).starts_with(reference);
        if (!known) return false;
    }
    return true;
}

/// " a="x" b="y"" or "": attributes, each once.
inline bool attributes_are_good(std::string_view text) {
    std::vector<std::string_view> names;
    while (!text.empty()) {
        if (text.front() != ' ') return false;
        const size_t end = name_end(text, 1);
        const std::string_view name = text.substr(1, end - 1);
        for (const std::string_view other : names)
            if (other == name) return false;
        names.push_back(name);
        if (name.empty() || text.substr(end, 2) != "=\"") return false;
        const size_t quote = text.find('"', end + 2);
        if (quote == std::string_view::npos) return false;
        const std::string_view value = text.substr(end + 2, quote - end - 2);
        if (value.find('<') != std::string_view::npos || !references_are_known(value)) return false;
        text.remove_prefix(quote + 1);
    }
    return true;
}

}  // namespace well_formed

/// "" if every element is closed in its turn, every attribute is quoted and there once, and text holds no bare < or &;
/// else what is wrong, with the place.
inline std::string not_well_formed(std::string_view text) {
    std::vector<std::string> open;
    const std::string_view all = text;
    const auto wrong = [&](const std::string& what) {
        const auto at = static_cast<size_t>(text.data() - all.data());
        return what + " at " + std::to_string(at) + ": " + std::string(text.substr(0, 60));
    };
    if (text.starts_with("<!DOCTYPE html>")) text.remove_prefix(15);
    while (!text.empty()) {
        if (text.front() != '<') {
            const std::string_view content = text.substr(0, text.find('<'));
            if (!well_formed::references_are_known(content)) return wrong("a bare &");
            text.remove_prefix(content.size());
            continue;
        }
        const size_t end = text.find('>');
        if (end == std::string_view::npos) return wrong("a tag that does not end");
        std::string_view tag = text.substr(1, end - 1);
        if (tag.starts_with("/")) {
            if (open.empty() || open.back() != tag.substr(1)) return wrong("an end without its beginning");
            open.pop_back();
        } else {
            const bool empty = tag.ends_with("/");
            if (empty) tag.remove_suffix(1);
            const size_t name = well_formed::name_end(tag, 0);
            if (name == 0 || !well_formed::attributes_are_good(tag.substr(name))) return wrong("a bad tag");
            if (!empty) open.emplace_back(tag.substr(0, name));
        }
        text.remove_prefix(end + 1);
    }
    return open.empty() ? "" : "not closed: " + open.back();
}

}  // namespace dropforge::test
