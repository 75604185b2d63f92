// Where every planned storage of a Program lives in one arena: lifetimes from the op list, greedy with best fit, in the
// best of a few orders (Pisarchyk & Lee 2020, "Efficient memory management for deep neural net inference").
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/program.h"

namespace dropforge {

/// Offsets are multiples of this many bytes; so is the arena's start.
constexpr int64_t kArenaAlignment = 256;

struct MemoryPlan {
    struct Slot {
        int64_t offset = -1;          // bytes into the arena; -1: bound by the caller, or never used
        int32_t first = 0, last = 0;  // ops of first write and last use
        int32_t shares = -1;          // storage whose memory it took over in place; -1: none
    };
    std::vector<Slot> slots;  // by storage
    int64_t bytes = 0;        // of the arena
    int64_t lower_bound = 0;  // largest sum of aligned bytes alive at one op: no plan can be smaller
};

/// Plans the program's arena. In place: an op's output takes its input's memory where the op allows it, both are
/// planned, the input is not used later, and the output is not larger.
MemoryPlan plan_memory(const Program& program);

/// Proves from the op list alone, without the planner's lifetimes, that no write overlaps another storage that is still
/// to be read, that every slot is aligned and inside the arena, and that nothing planned is read before it is written.
/// Throws Error naming the op.
void verify_plan(const Program& program, const MemoryPlan& plan);

/// A Program with its plan, made and proved.
struct PlannedProgram {
    PlannedProgram(Program made);  // implicit: a Program and its plan are one thing to callers

    Program program;
    MemoryPlan plan;
};

/// A table for people: offset, size, lifetime and name of the largest storages, the total beside the lower bound.
std::string plan_text(const Program& program, const MemoryPlan& plan, size_t rows = 20);

}  // namespace dropforge
