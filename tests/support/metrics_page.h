// The keys that docs/metrics.md has, and those of a run's lines.
#pragma once

#include <doctest/doctest.h>

#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/page_tables.h"

namespace dropforge::test {

using Keys = std::set<std::string>;

inline constexpr const char *kTrainingLines = "Lines of training", *kEvaluationLines = "Lines of evaluation";

/// The words of a cell of the column "where", which says in which runs a key is: of every line, or of some kinds of
/// run.
inline Keys words_of(const std::string& cell) {
    std::string text = cell;
    for (char& c : text)
        if (c == '`') c = ' ';
    std::istringstream stream(text);
    return {std::istream_iterator<std::string>(stream), {}};
}

/// The keys below `section` for runs of these kinds: a method, pairs, fp16.
inline Keys keys_on_page(const char* section, const Keys& kinds) {
    Keys keys;
    for (const PageRow& row : rows_of_page("metrics.md", section, "key")) {
        REQUIRE(row.size() == 6);
        for (const std::string& word : words_of(row[5]))
            if (word == "every" || kinds.contains(word)) keys.insert(row[0]);
    }
    return keys;
}

/// The keys of a run's lines of one kind: those of any, and those of all.
struct LineKeys {
    Keys any, all;
};

inline LineKeys keys_of_lines(const fs::path& run, bool evaluations) {
    LineKeys keys;
    std::istringstream lines(read_text(run / "metrics.jsonl"));
    bool first = true;
    for (std::string text; std::getline(lines, text);) {
        const auto line = nlohmann::json::parse(text);
        if (line.contains("eval_loss") != evaluations) continue;
        Keys keys_of_line;
        for (const auto& [key, value] : line.items()) keys_of_line.insert(key);
        keys.any.insert(keys_of_line.begin(), keys_of_line.end());
        if (first) keys.all = keys_of_line;
        std::erase_if(keys.all, [&](const std::string& key) { return !keys_of_line.contains(key); });
        first = false;
    }
    REQUIRE(!first);
    return keys;
}

/// Checks that the lines of a run of these kinds have the keys of the page and no others, those of every line in each.
inline void check_keys(const fs::path& run, const Keys& kinds) {
    for (const char* section : {kTrainingLines, kEvaluationLines}) {
        CAPTURE(std::string(section));
        const LineKeys found = keys_of_lines(run, section == kEvaluationLines);
        CHECK(found.any == keys_on_page(section, kinds));
        for (const std::string& key : keys_on_page(section, {})) CHECK_MESSAGE(found.all.contains(key), key);
    }
}

}  // namespace dropforge::test
