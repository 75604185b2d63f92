#include "engine/memory_plan.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "base/error.h"

namespace dropforge {

namespace {

size_t index(int32_t i) { return static_cast<size_t>(i); }

int64_t aligned(int64_t bytes) { return (bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment; }

bool is_planned(const Program& program, int32_t storage) {
    return program.storages()[index(storage)].owner == Owner::plan;
}

/// Size of an item during some ops.
struct Piece {
    int64_t bytes;
    int32_t first, last;
};

/// An item to place: a storage, or a chain of storages that take over each other's memory in place. Sizes in a chain
/// never grow, so its pieces follow each other in time with falling sizes.
struct Item {
    std::vector<int32_t> storages;  // in order of their lives
    std::vector<Piece> pieces;
    double area = 0;      // bytes × ops
    int32_t breadth = 0;  // rank of the busiest op at which it is alive, 0 = the peak

    int64_t bytes() const { return pieces.front().bytes; }
    int32_t first() const { return pieces.front().first; }
    /// The most bytes that it has during ops first … last; 0 if it is not alive.
    int64_t bytes_during(int32_t first, int32_t last) const {
        for (const Piece& piece : pieces)
            if (piece.first <= last && first <= piece.last) return piece.bytes;
        return 0;
    }
};

std::vector<MemoryPlan::Slot> lifetimes(const Program& program) {
    std::vector<MemoryPlan::Slot> slots(program.storages().size(), {-1, -1, -1, -1});
    for (int32_t op = 0; op < static_cast<int32_t>(program.ops().size()); ++op) {
        const Op& at = program.ops()[index(op)];
        for (const auto* list : {&at.reads, &at.writes})
            for (int32_t storage : *list) {
                if (!is_planned(program, storage)) continue;
                MemoryPlan::Slot& slot = slots[index(storage)];
                if (slot.first < 0) slot.first = op;
                slot.last = op;
            }
    }
    return slots;
}

/// Sets `shares` of the outputs that take their input's memory: born at the op at which the input dies, and not larger.
void take_over_in_place(const Program& program, std::vector<MemoryPlan::Slot>& slots) {
    std::vector<bool> taken(slots.size());
    for (int32_t op = 0; op < static_cast<int32_t>(program.ops().size()); ++op) {
        const Op& at = program.ops()[index(op)];
        for (const auto& [output, input] : at.inplace) {
            if (output < 0 || input < 0 || !is_planned(program, output) || !is_planned(program, input)) continue;
            MemoryPlan::Slot& to = slots[index(output)];
            const MemoryPlan::Slot& from = slots[index(input)];
            const bool fits = program.storages()[index(output)].bytes <= program.storages()[index(input)].bytes;
            const bool dies = from.last == op && from.first < op && std::ranges::count(at.writes, input) == 0;
            if (!fits || !dies || to.first != op || to.shares >= 0 || taken[index(input)]) continue;
            to.shares = input;
            taken[index(input)] = true;
        }
    }
}

/// The items to place: every used storage of at least one byte, chains joined. An output's storage may have a lower
/// number than its input's, so storages are visited in order of birth.
std::vector<Item> items_of(const Program& program, const std::vector<MemoryPlan::Slot>& slots) {
    std::vector<int32_t> by_birth(slots.size()), item_of(slots.size(), -1);
    std::iota(by_birth.begin(), by_birth.end(), 0);
    std::ranges::stable_sort(by_birth, {}, [&](int32_t s) { return slots[index(s)].first; });
    std::vector<Item> items;
    for (int32_t storage : by_birth) {
        const MemoryPlan::Slot& slot = slots[index(storage)];
        const int64_t bytes = aligned(program.storages()[index(storage)].bytes);
        if (slot.first < 0 || bytes == 0) continue;
        if (slot.shares < 0) {
            item_of[index(storage)] = static_cast<int32_t>(items.size());
            items.push_back({{storage}, {{bytes, slot.first, slot.last}}});
            continue;
        }
        Item& item = items[index(item_of[index(storage)] = item_of[index(slot.shares)])];
        item.storages.push_back(storage);
        Piece& before = item.pieces.back();  // covers the op at which both are alive
        if (before.bytes == bytes)
            before.last = slot.last;
        else if (slot.last > before.last)
            item.pieces.push_back({bytes, before.last + 1, slot.last});
    }
    return items;
}

/// Bytes alive at each op.
std::vector<int64_t> live_bytes(const std::vector<Item>& items, size_t ops) {
    std::vector<int64_t> live(ops + 1);
    for (const Item& item : items)
        for (const Piece& piece : item.pieces) {
            live[index(piece.first)] += piece.bytes;
            live[index(piece.last) + 1] -= piece.bytes;
        }
    std::partial_sum(live.begin(), live.end(), live.begin());
    live.pop_back();
    return live;
}

void measure(std::vector<Item>& items, const std::vector<int64_t>& live) {
    std::vector<int32_t> by_load(live.size()), rank(live.size());
    std::iota(by_load.begin(), by_load.end(), 0);
    std::ranges::stable_sort(by_load, std::greater{}, [&](int32_t op) { return live[index(op)]; });
    for (size_t i = 0; i < by_load.size(); ++i) rank[index(by_load[i])] = static_cast<int32_t>(i);
    for (Item& item : items) {
        item.breadth = std::numeric_limits<int32_t>::max();
        for (const Piece& piece : item.pieces) {
            item.area += static_cast<double>(piece.bytes) * (piece.last - piece.first + 1);
            const auto begin = rank.begin() + piece.first, end = rank.begin() + piece.last + 1;
            item.breadth = std::min(item.breadth, *std::min_element(begin, end));
        }
    }
}

/// Items at their offsets so far.
class Packing {
  public:
    /// Places the item into the tightest gap between those alive at the same time, or past them.
    int64_t place(const Item& item) {
        find_blocked(item);
        int64_t free = 0, best = -1, least_slack = std::numeric_limits<int64_t>::max();
        for (const Blocked& blocked : blocked_) {
            if (free <= blocked.after && blocked.after - free < least_slack) {
                least_slack = blocked.after - free;
                best = free;
            }
            free = std::max(free, blocked.until);
        }
        if (best < 0) best = free;
        bytes_ = std::max(bytes_, best + item.bytes());
        for (const Piece& piece : item.pieces) {
            const Placed placed{best, best + piece.bytes, piece.first, piece.last};
            placed_.insert(std::ranges::upper_bound(placed_, best, {}, &Placed::begin), placed);
        }
        return best;
    }

    int64_t bytes() const { return bytes_; }

  private:
    struct Placed {
        int64_t begin, end;
        int32_t first, last;
    };
    struct Blocked {
        int64_t after, until;  // offsets o of the item with after < o < until are not possible
    };

    void find_blocked(const Item& item) {
        blocked_.clear();
        for (const Placed& other : placed_) {
            const int64_t bytes = item.bytes_during(other.first, other.last);
            if (bytes > 0) blocked_.push_back({other.begin - bytes, other.end});
        }
        if (item.pieces.size() > 1)
            std::ranges::sort(blocked_, {}, &Blocked::after);  // else placed_ gave them in order
    }

    std::vector<Placed> placed_;  // by begin
    std::vector<Blocked> blocked_;
    int64_t bytes_ = 0;
};

using Before = bool (*)(const Item&, const Item&);

/// Orders for greedy placement: the first is best for most training steps, the others where sizes are alike or
/// lifetimes nest.
constexpr Before kOrders[] = {
    [](const Item& a, const Item& b) { return a.bytes() > b.bytes(); },
    [](const Item& a, const Item& b) { return a.area > b.area; },
    [](const Item& a, const Item& b) { return std::pair(a.breadth, -a.bytes()) < std::pair(b.breadth, -b.bytes()); },
    [](const Item& a, const Item& b) { return std::pair(a.first(), -a.bytes()) < std::pair(b.first(), -b.bytes()); },
};

/// Offsets of items, and the bytes of the arena.
struct Offsets {
    std::vector<int64_t> of;
    int64_t bytes = std::numeric_limits<int64_t>::max();
};

Offsets place_in_order(const std::vector<Item>& items, const std::vector<int32_t>& order) {
    Packing packing;
    Offsets offsets{std::vector<int64_t>(items.size())};
    for (int32_t i : order) offsets.of[index(i)] = packing.place(items[index(i)]);
    offsets.bytes = packing.bytes();
    return offsets;
}

/// The best of kOrders. If that misses the lower bound, the items at the top, which came too late to find a gap, are
/// moved to the front and all are placed again; the number of trials is bounded, so that start-up stays fast.
Offsets best_offsets(const std::vector<Item>& items, int64_t lower_bound) {
    Offsets best;
    std::vector<int32_t> order(items.size()), best_order;
    for (const Before before : kOrders) {
        std::iota(order.begin(), order.end(), 0);
        std::ranges::stable_sort(order, [&](int32_t a, int32_t b) { return before(items[index(a)], items[index(b)]); });
        Offsets offsets = place_in_order(items, order);
        if (offsets.bytes >= best.bytes) continue;
        best = std::move(offsets);
        best_order = order;
        if (best.bytes == lower_bound) return best;
    }
    constexpr size_t kWork = size_t{1} << 24;  // pairs of items
    const size_t rounds = std::min<size_t>(200, kWork / (items.size() * items.size() + 1));
    Offsets last = best;
    order = best_order;
    for (size_t round = 0; round < rounds && best.bytes > lower_bound; ++round) {
        const auto sticks_out = [&](int32_t i) { return last.of[index(i)] + items[index(i)].bytes() == last.bytes; };
        std::stable_partition(order.begin(), order.end(), sticks_out);
        last = place_in_order(items, order);
        if (last.bytes < best.bytes) best = last;
    }
    return best;
}

}  // namespace

MemoryPlan plan_memory(const Program& program) {
    MemoryPlan plan;
    plan.slots = lifetimes(program);
    take_over_in_place(program, plan.slots);
    std::vector<Item> items = items_of(program, plan.slots);
    const std::vector<int64_t> live = live_bytes(items, program.ops().size());
    if (!live.empty()) plan.lower_bound = *std::ranges::max_element(live);
    measure(items, live);

    const Offsets best = best_offsets(items, plan.lower_bound);
    plan.bytes = best.bytes;
    for (size_t i = 0; i < items.size(); ++i)
        for (int32_t storage : items[i].storages) plan.slots[index(storage)].offset = best.of[i];
    for (size_t s = 0; s < plan.slots.size(); ++s) {
        MemoryPlan::Slot& slot = plan.slots[s];
        if (slot.first < 0)
            slot = {};
        else if (program.storages()[s].bytes == 0)
            slot.offset = 0;  // used, but nothing to place
    }
    return plan;
}

PlannedProgram::PlannedProgram(Program built) : program(std::move(built)), plan(plan_memory(program)) {
    verify_plan(program, plan);
}

}  // namespace dropforge
