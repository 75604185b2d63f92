// Strict parsing of JSON from foreign files, and JSON as a line of text.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace dropforge {

/// Throws Error, beginning with `where`, for what is not JSON, a key that is there twice (readers differ in which they
/// take), and for values nested more than 32 deep: the library writes, compares and copies them recursively. `keys`, if
/// given, gets those of the outermost object in the order of the text, where the library sorts them.
nlohmann::json parse_json(const std::string& text, const std::string& where, std::vector<std::string>* keys = nullptr);

/// The non-negative whole number of a key. Error for another value (the library's conversion of a number that is too
/// large is undefined); the library's exception if the key is missing.
uint64_t count_in(const nlohmann::json& object, const char* key);

/// `json` in one line. Bytes of strings that are not UTF-8, as paths may have, become U+FFFD.
std::string json_text(const nlohmann::ordered_json& json);

}  // namespace dropforge
