// A search over the values of keys.
#pragma once

#include <string>
#include <vector>

#include "model/config/config.h"

namespace dropforge {

/// The settings of every point of a grid, such as "lr=1e-5,2e-5,batch=16,32": four, of the keys train.lr and
/// train.batch; the last key changes fastest. Commas separate the values of a key until the next name and =; "train."
/// may be left out. Throws Error for a value without a key, a key without a value, and a key that is there twice.
std::vector<std::vector<Setting>> grid_points(const std::string& grid);

}  // namespace dropforge
