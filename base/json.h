// JSON that others wrote, parsed strictly.
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

/// The whole number, not negative, that an object has under a key. Throws Error where it has another value (a
/// conversion by the library of a number that is too large is undefined), and the library's exceptions where it has no
/// such key.
uint64_t count_in(const nlohmann::json& object, const char* key);

}  // namespace dropforge
