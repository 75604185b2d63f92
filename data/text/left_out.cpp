#include "data/text/left_out.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "data/text/utf8.h"

namespace dropforge::data {

namespace {

struct Words {
    const char *name, *text;  // text follows a number
};

constexpr std::array<Words, kReasons> kWords = {{
    {"unknown_ending", "of an ending that is not text's (--any-ending reads them as plain text)"},
    {"hidden", "hidden (the name begins with a dot)"},
    {"broken_link", "links to nothing"},
    {"link_loop", "links to a folder above them"},
    {"not_a_file", "neither file nor folder"},
    {"unreadable", "without permission to read"},
    {"dropforge_folder", "folders with data, a run or a model, as Dropforge writes them"},
    {"seen_before", "read already under another name, or given twice"},
    {"empty", "empty"},
    {"binary", "binary"},
    {"encoding", "not UTF-8 (iconv converts them)"},
    {"too_complex", "beyond what their parser is given"},
    {"no_text_in_line", "lines of JSON without text"},
}};

/// A name is any bytes, but what is printed and written to dataset.json must not be.
std::string printable(std::string name) {
    replace_invalid_utf8(name);
    for (char& c : name)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
    return name;
}

}  // namespace

const char* name_of(Reason reason) { return kWords[static_cast<size_t>(reason)].name; }

void LeftOut::add(Reason reason, const std::string& what) {
    Entry& entry = entries_[static_cast<size_t>(reason)];
    ++entry.count;
    if (entry.examples.size() < kExamples) entry.examples.push_back(printable(what));
}

void LeftOut::add(const LeftOut& other) {
    for (size_t i = 0; i < kReasons; ++i) {
        entries_[i].count += other.entries_[i].count;
        for (const std::string& example : other.entries_[i].examples)
            if (entries_[i].examples.size() < kExamples) entries_[i].examples.push_back(example);
    }
}

uint64_t LeftOut::total() const {
    uint64_t sum = 0;
    for (const Entry& entry : entries_) sum += entry.count;
    return sum;
}

nlohmann::json LeftOut::json() const {
    nlohmann::json json = nlohmann::json::object();
    for (size_t i = 0; i < kReasons; ++i)
        if (entries_[i].count > 0)
            json[kWords[i].name] = {{"count", entries_[i].count}, {"examples", entries_[i].examples}};
    return json;
}

LeftOut LeftOut::from_json(const nlohmann::json& json) {
    LeftOut left_out;
    for (size_t i = 0; i < kReasons; ++i)
        if (json.contains(kWords[i].name))
            left_out.entries_[i] = {count_in(json.at(kWords[i].name), "count"), json.at(kWords[i].name).at("examples")};
    return left_out;
}

std::vector<std::string> LeftOut::lines() const {
    std::vector<std::string> lines;
    for (size_t i = 0; i < kReasons; ++i) {
        const Entry& entry = entries_[i];
        if (entry.count == 0) continue;
        lines.push_back(fmt::format("{} {}: {}{}", entry.count, kWords[i].text, fmt::join(entry.examples, ", "),
                                    entry.count > entry.examples.size() ? ", …" : ""));
    }
    return lines;
}

}  // namespace dropforge::data
