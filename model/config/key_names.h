// The key that an unknown one was probably meant to be.
#pragma once

#include <string>

namespace dropforge::config {

/// The key that `key` ("table.name", or a name alone) is nearest to: misspelt, in another table, cut short (warmup for
/// warmup_steps), or as other tools call it (learning_rate, max_seq_length).
std::string nearest_key(const std::string& key);
std::string nearest_table(const std::string& table);

}  // namespace dropforge::config
