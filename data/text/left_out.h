// What `prepare` finds and does not read, counted by reason, with a few examples of each.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace dropforge::data {

/// Their names and meanings: docs/text.md.
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
/// "unknown_ending", as dataset.json has it.
const char* name_of(Reason reason);

class LeftOut {
  public:
    static constexpr size_t kExamples = 5;

    /// `what`: a file, a folder with all that it holds, or a line; any bytes.
    void add(Reason reason, const std::string& what);
    void add(const LeftOut& other);

    uint64_t count(Reason reason) const { return entry(reason).count; }
    const std::vector<std::string>& examples(Reason reason) const { return entry(reason).examples; }
    uint64_t total() const;

    /// {"hidden": {"count": 2, "examples": [".git", …]}, …}: the reasons that occur.
    nlohmann::json json() const;
    /// The reverse. Throws nlohmann's exceptions.
    static LeftOut from_json(const nlohmann::json& json);
    /// One line for each reason that occurs, without a line end: "4 of an unknown ending: AA/wiki_00, b.pdf, …".
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
