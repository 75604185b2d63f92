// plan_text: the plan as a table for people.
#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "engine/memory_plan.h"

namespace dropforge {

namespace {

double megabytes(int64_t bytes) { return static_cast<double>(bytes) / 1e6; }

}  // namespace

std::string plan_text(const Program& program, const MemoryPlan& plan, size_t rows) {
    const auto& storages = program.storages();
    const auto op_name = [&](int32_t op) -> const std::string& { return program.ops()[static_cast<size_t>(op)].name; };
    std::vector<size_t> placed;
    for (size_t i = 0; i < storages.size(); ++i)
        if (plan.slots[i].offset >= 0) placed.push_back(i);
    std::ranges::stable_sort(placed, std::greater{}, [&](size_t i) { return storages[i].bytes; });
    const int64_t sum = std::accumulate(placed.begin(), placed.end(), int64_t{0},
                                        [&](int64_t bytes, size_t i) { return bytes + storages[i].bytes; });
    const auto in_place = std::ranges::count_if(placed, [&](size_t i) { return plan.slots[i].shares >= 0; });
    const double ratio =
        plan.lower_bound > 0 ? static_cast<double>(plan.bytes) / static_cast<double>(plan.lower_bound) : 1.0;

    std::string text = fmt::format(
        "memory plan of {}: {:.3f} MB, lower bound {:.3f} MB, ratio {:.3f}\n"
        "{} ops, {} storages of {:.3f} MB in all, {} of them in place\n",
        program.name(), megabytes(plan.bytes), megabytes(plan.lower_bound), ratio, program.ops().size(), placed.size(),
        megabytes(sum), in_place);
    size_t width = 8;  // of the names
    const size_t shown = std::min(rows, placed.size());
    for (size_t r = 0; r < shown; ++r) width = std::max(width, storages[placed[r]].name.size());
    if (shown > 0)
        text += fmt::format("{:>12}  {:>12}  {:<{}}  {}\n", "offset MB", "size MB", "storage", width, "alive (ops)");
    for (size_t r = 0; r < shown; ++r) {
        const MemoryPlan::Slot& slot = plan.slots[placed[r]];
        text += fmt::format("{:>12.3f}  {:>12.3f}  {:<{}}  {}", megabytes(slot.offset),
                            megabytes(storages[placed[r]].bytes), storages[placed[r]].name, width, op_name(slot.first));
        if (slot.last != slot.first) text += fmt::format(" … {}", op_name(slot.last));
        if (slot.shares >= 0) text += fmt::format(", in place of {}", storages[static_cast<size_t>(slot.shares)].name);
        text += '\n';
    }
    if (shown < placed.size()) text += fmt::format("and {} smaller ones\n", placed.size() - shown);
    return text;
}

}  // namespace dropforge
