// verify_plan. It shares nothing with the planner but the op list and the offsets, and so has its own file.
#include <algorithm>

#include "base/error.h"
#include "engine/memory_plan.h"

namespace dropforge {

namespace {

bool contains(const std::vector<int32_t>& list, int32_t storage) { return std::ranges::count(list, storage) > 0; }

/// Walks the ops and keeps the set of live storages: those between their first write and their last read or write.
class Walk {
  public:
    Walk(const Program& program, const MemoryPlan& plan)
        : program_(program), plan_(plan), last_use_(program.storages().size(), -1), born_(program.storages().size()) {
        for (int32_t op = 0; op < static_cast<int32_t>(program.ops().size()); ++op)
            for (const auto* list : {&at(op).reads, &at(op).writes})
                for (int32_t storage : *list) last_use_[static_cast<size_t>(storage)] = op;
    }

    void run() {
        check_slots();
        for (int32_t op = 0; op < static_cast<int32_t>(program_.ops().size()); ++op) {
            check_reads(op);
            for (int32_t storage : at(op).writes)
                if (storage_of(storage).owner == Owner::plan && !born_[static_cast<size_t>(storage)])
                    give_birth(op, storage);
            std::erase_if(live_, [&](int32_t storage) { return last_use_[static_cast<size_t>(storage)] <= op; });
        }
    }

  private:
    const Op& at(int32_t op) const { return program_.ops()[static_cast<size_t>(op)]; }
    const Storage& storage_of(int32_t storage) const { return program_.storages()[static_cast<size_t>(storage)]; }
    int64_t begin(int32_t storage) const { return plan_.slots[static_cast<size_t>(storage)].offset; }
    int64_t end(int32_t storage) const { return begin(storage) + storage_of(storage).bytes; }

    void check_slots() const {
        const auto count = static_cast<int32_t>(program_.storages().size());
        require(plan_.slots.size() == static_cast<size_t>(count), "{}: a plan of {} slots for {} storages",
                program_.name(), plan_.slots.size(), count);
        for (int32_t s = 0; s < count; ++s) {
            const int32_t use = last_use_[static_cast<size_t>(s)];
            if (storage_of(s).owner == Owner::caller || use < 0) {
                require(begin(s) == -1, "{}: {} has offset {}, but is not in the arena", program_.name(),
                        storage_of(s).name, begin(s));
                continue;
            }
            require(begin(s) >= 0 && storage_of(s).bytes <= plan_.bytes - begin(s),
                    "{}: op {}: {} at [{}, {}) is not inside the arena of {} bytes", program_.name(), at(use).name,
                    storage_of(s).name, begin(s), end(s), plan_.bytes);
            require(begin(s) % kArenaAlignment == 0, "{}: op {}: {} at offset {} is not aligned to {} bytes",
                    program_.name(), at(use).name, storage_of(s).name, begin(s), kArenaAlignment);
        }
    }

    void check_reads(int32_t op) const {
        for (int32_t storage : at(op).reads)
            require(storage_of(storage).owner == Owner::caller || born_[static_cast<size_t>(storage)],
                    "{}: op {} reads {} before anything has written it", program_.name(), at(op).name,
                    storage_of(storage).name);
    }

    void give_birth(int32_t op, int32_t storage) {
        for (int32_t other : live_) {
            const bool disjoint = end(storage) <= begin(other) || end(other) <= begin(storage);
            require(disjoint || may_take_over(op, storage, other),
                    "{}: op {}: writing {} at [{}, {}) would destroy {} at [{}, {}), which op {} still uses",
                    program_.name(), at(op).name, storage_of(storage).name, begin(storage), end(storage),
                    storage_of(other).name, begin(other), end(other), at(last_use_[static_cast<size_t>(other)]).name);
        }
        born_[static_cast<size_t>(storage)] = true;
        live_.push_back(storage);
    }

    /// The op allows it in place, reads the input for the last time, and finds the output exactly where the input is.
    bool may_take_over(int32_t op, int32_t output, int32_t input) const {
        return std::ranges::count(at(op).inplace, std::pair(output, input)) > 0 &&
               last_use_[static_cast<size_t>(input)] == op && contains(at(op).reads, input) &&
               !contains(at(op).writes, input) && begin(output) == begin(input) && end(output) <= end(input);
    }

    const Program& program_;
    const MemoryPlan& plan_;
    std::vector<int32_t> last_use_, live_;
    std::vector<bool> born_;
};

}  // namespace

void verify_plan(const Program& program, const MemoryPlan& plan) { Walk(program, plan).run(); }

}  // namespace dropforge
