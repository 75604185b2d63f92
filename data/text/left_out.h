// The files and lines that `prepare` does not read, counted by reason, with a few examples of each.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace dropforge::data {

/// The reasons for which something is not read; docs/text.md explains them.
enum class Reason {
    unknown_ending,
    hidden,
    broken_link,
    link_loop,
    not_a_file,
    unreadable,
    dropforge_folder,
    seen_before,
    empty,
    binary,
    encoding,
    too_complex,
    no_text_in_line
};
inline constexpr size_t kReasons = 13;
/// The reason's name in dataset.json: "unknown_ending".
const char* name_of(Reason reason);

class LeftOut {
  public:
    static constexpr size_t kExamples = 5;

    /// Counts a file, a folder or a line, whose name `what` may be any bytes.
    void add(Reason reason, const std::string& what);
    void add(const LeftOut& other);

    uint64_t count(Reason reason) const { return entry(reason).count; }
    const std::vector<std::string>& examples(Reason reason) const { return entry(reason).examples; }
    uint64_t total() const;

    /// {"hidden": {"count": 2, "examples": [".git", …]}, …}: the reasons that occur.
    nlohmann::json json() const;
    /// Reads what json() returns. Throws nlohmann's exceptions.
    static LeftOut from_json(const nlohmann::json& json);
    /// A line for each reason that occurs: "4 of an unknown ending: AA/wiki_00, b.pdf, …".
    std::vector<std::string> lines() const;

  private:
    struct Entry {
        uint64_t count = 0;
        std::vector<std::string> examples;  // the first ones, printable
    };
    const Entry& entry(Reason reason) const { return entries_[static_cast<size_t>(reason)]; }

    std::array<Entry, kReasons> entries_;
};

}  // namespace dropforge::data
