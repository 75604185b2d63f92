// What an op says it touches, by name.
#pragma once

#include <string>
#include <vector>

#include "engine/program.h"

namespace dropforge::test {

using Names = std::vector<std::string>;

/// Of the last op of a program.
struct Touches {
    Names reads, writes, inplace;  // "output < input"

    explicit Touches(const Program& p) {
        const auto name = [&](int32_t storage) { return p.storages()[static_cast<size_t>(storage)].name; };
        const Op& op = p.ops().back();
        for (const int32_t storage : op.reads) reads.push_back(name(storage));
        for (const int32_t storage : op.writes) writes.push_back(name(storage));
        for (const auto& [output, input] : op.inplace) inplace.push_back(name(output) + " < " + name(input));
    }
};

}  // namespace dropforge::test
