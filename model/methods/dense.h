// Dense training: every step sends all tokens through all layers.
#pragma once

#include "model/methods/registry.h"

namespace dropforge {

std::shared_ptr<const Method> dense(const RunShape& shape = {});
MethodEntry dense_method();

}  // namespace dropforge
