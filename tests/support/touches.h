// What an op says it touches, by name.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "engine/program.h"

namespace dropforge::test {

using Names = std::vector<std::string>;

/// Of the last op of a program, or of one that comes `before` ops before it.
struct Touches {
    Names reads, writes, inplace;  // "output < input"

    explicit Touches(const Program& p, size_t before = 0) {
        const auto name = [&](int32_t storage) { return p.storages()[static_cast<size_t>(storage)].name; };
        const Op& op = p.ops()[p.ops().size() - 1 - before];
        for (const int32_t storage : op.reads) reads.push_back(name(storage));
        for (const int32_t storage : op.writes) writes.push_back(name(storage));
        for (const auto& [output, input] : op.inplace) inplace.push_back(name(output) + " < " + name(input));
    }
};

}  // namespace dropforge::test
