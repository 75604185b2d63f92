// One value of a run's configuration: from TOML to its place in RunConfig, and back.
#pragma once

#include <toml++/toml.h>

#include <string>

#include "model/config/config.h"
#include "model/config/fields.h"

namespace dropforge::config {

/// {value = …} from the text of a value; where it isn't TOML, or the field wants text, the text itself (bare words).
toml::table parse_value(const Field& field, const RunConfig& config, const std::string& text);

/// Sets the field, what follows from it, and its origin. Throws Error: "where: key: expected …, got …".
void assign(const Field& field, RunConfig& config, const toml::node& node, const std::string& where);

/// Whether the field is a choice that is "auto" or an integer that is 0: for fields that are kept on resume, not yet
/// decided.
bool is_automatic(const Field& field, const RunConfig& config);

/// Gives a field that is Derived and was not given, or is automatic, the value that it has in `source`; returns whether
/// it did.
bool take_derived(const Field& field, RunConfig& config, const RunConfig& source);

/// The value as TOML has it; "" for a shorthand.
std::string value_text(const Field& field, const RunConfig& config);

}  // namespace dropforge::config
