// The memory plan: an offset in one arena for every planned storage of a Program. Lifetimes follow from the op list;
// placement is greedy best fit in the best of a few orders (Pisarchyk & Lee 2020, "Efficient memory management for deep
// neural net inference").
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/program.h"

namespace dropforge {

/// Alignment of offsets and of the arena's start, in bytes.
constexpr int64_t kArenaAlignment = 256;

struct MemoryPlan {
    struct Slot {
        int64_t offset = -1;          // in bytes; -1: bound by the caller, or never used
        int32_t first = 0, last = 0;  // the ops of first write and last use
        int32_t shares = -1;          // the storage whose memory it takes over in place; -1: none
    };
    std::vector<Slot> slots;  // by storage
    int64_t bytes = 0;        // of the arena
    int64_t lower_bound = 0;  // largest sum of aligned bytes alive at one op: no plan can be smaller
};

/// Plans the program's arena. An op's output takes its input's memory where the op allows it, both are planned, no
/// later op uses the input, and the output is not larger.
MemoryPlan plan_memory(const Program& program);

/// Proves from the op list alone, without the planner's lifetimes, that no write overlaps another storage that is still
/// to be read, that every slot is aligned and inside the arena, and that nothing planned is read before it is written.
/// Throws Error naming the op.
void verify_plan(const Program& program, const MemoryPlan& plan);

/// A Program with its verified plan.
struct PlannedProgram {
    PlannedProgram(Program built);  // implicit: a Program and its plan are one thing to callers

    Program program;
    MemoryPlan plan;
};

/// The plan as a table for people: offset, size, lifetime and name of the `rows` largest storages; total and lower
/// bound.
std::string plan_text(const Program& program, const MemoryPlan& plan, size_t rows = 20);

}  // namespace dropforge
