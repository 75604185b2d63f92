// One value of a configuration: from TOML to its place, and back.
#pragma once

#include <toml++/toml.h>

#include <string>

#include "model/config/field.h"

namespace dropforge::config {

/// {value = …} from the text of a value; where it isn't TOML, or the field wants text, the text itself (bare words);
/// where the field wants several numbers, these between commas.
toml::table parse_value(const Field& field, const std::string& text);

/// Sets the field and what follows from it. Throws Error: "where: key: expected …, got …".
void assign(const Field& field, const toml::node& node, const std::string& where);

/// Whether the field is a choice that is "auto" or an integer that is 0: for fields that are kept on resume, not yet
/// decided.
bool is_automatic(const Field& field);

/// Gives a field that is Derived and was not given, or is automatic, the value that it has in another configuration;
/// returns whether it did.
bool take_derived(const Field& field, const Field& source);

/// The value as TOML has it; "" for a shorthand, and for what was not given and has no default.
std::string value_text(const Field& field);

}  // namespace dropforge::config
