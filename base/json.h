// JSON that others wrote, parsed strictly.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace dropforge {

/// Throws Error, beginning with `where`, for what is not JSON, a key that is there twice (readers differ in which they
/// take), and for values nested more than 32 deep: the library writes, compares and copies them recursively.
nlohmann::json parse_json(const std::string& text, const std::string& where);

}  // namespace dropforge
