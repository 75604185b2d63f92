#include "report/html.h"

#include <fmt/format.h>

#include "base/xml.h"
#include "data/text/utf8.h"

namespace dropforge::report {

std::string escaped(std::string_view text) {
    std::string valid;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte >= 0x20 || c == '\n' || c == '\t')
            valid += c;
        else
            valid += "\xEF\xBF\xBD";
    }
    data::replace_invalid_utf8(valid);
    return xml_escaped(valid);
}

Table::Table(const std::vector<std::string>& heads, size_t first_number)
    : first_number_(first_number), text_("<thead>" + row("th", heads) + "</thead>\n<tbody>\n") {}

void Table::add(const std::vector<std::string>& cells) {
    text_ += row("td", cells) + "\n";
    ++rows_;
}

std::string Table::html() const {
    return fmt::format("<div class=\"wide{}\"><table>\n{}</tbody></table></div>\n", rows_ > kRowsShown ? " tall" : "",
                       text_);
}

std::string Table::row(const char* element, const std::vector<std::string>& cells) const {
    std::string text = "<tr>";
    for (size_t i = 0; i < cells.size(); ++i)
        text += fmt::format("<{}{}>{}</{}>", element, i >= first_number_ ? " class=\"n\"" : "", cells[i], element);
    return text + "</tr>";
}

}  // namespace dropforge::report
