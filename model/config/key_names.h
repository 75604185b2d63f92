// The key that an unknown one was probably meant to be.
#pragma once

#include <string>
#include <vector>

#include "model/config/field.h"

namespace dropforge::config {

/// The one of `fields` that `key` ("table.name", or a name alone) is nearest to: misspelt, in another table, cut short
/// (warmup for warmup_steps), or as other tools call it (learning_rate, max_seq_length).
std::string nearest_key(const std::vector<Field>& fields, const std::string& key);
std::string nearest_table(const std::vector<Field>& fields, const std::string& table);

}  // namespace dropforge::config
