// Text and tables of HTML that is well-formed XML too.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dropforge::report {

/// Any bytes as the content of an element or a quoted attribute: markup is escaped, what is not UTF-8, or a character
/// that XML has no place for, becomes U+FFFD.
std::string escaped(std::string_view text);

/// A table; every cell is HTML already. Cells of columns from `first_number` on are set as numbers.
class Table {
  public:
    Table(const std::vector<std::string>& heads, size_t first_number = 1);
    void add(const std::vector<std::string>& cells);
    /// With a frame in which it scrolls where it is wider than the page or has more than kRowsShown rows.
    std::string html() const;

  private:
    static constexpr size_t kRowsShown = 24;

    std::string row(const char* element, const std::vector<std::string>& cells) const;

    size_t first_number_, rows_ = 0;
    std::string text_;
};

}  // namespace dropforge::report
