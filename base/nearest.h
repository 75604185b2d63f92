// The most similar name, for suggestions after a misspelt one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dropforge {

/// The number of letters to insert, delete or change to turn one text into the other (Levenshtein).
inline size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<size_t> row(b.size() + 1);  // of the table of distances of prefixes
    for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= a.size(); ++i) {
        size_t diagonal = std::exchange(row[0], i);
        for (size_t j = 1; j <= b.size(); ++j) {
            const size_t above = row[j];
            row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
            diagonal = above;
        }
    }
    return row[b.size()];
}

/// The first of the names nearest to `to`; `names` is not empty.
inline const std::string& nearest(std::string_view to, const std::vector<std::string>& names) {
    return *std::ranges::min_element(names, {}, [&](const std::string& name) { return edit_distance(to, name); });
}

}  // namespace dropforge
