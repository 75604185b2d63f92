// Operations between threads: barriers, warp operations, and the report of a deadlock.
#include "kernels/cuda/emulator/simt.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <tuple>

#include "kernels/cuda/emulator/device.h"

namespace dropforge::simt {

namespace {

bool same(Location a, Location b) { return a.line == b.line && std::string_view(a.file) == b.file; }

}  // namespace

void Device::fail(std::string&& what, Location where) {
    const uint3 t = threads_[running_].index;
    failure_ = fmt::format("{}:{}: {} [thread ({}, {}, {})]", where.file, where.line, what, t.x, t.y, t.z);
    std::string().swap(what);  // objects on the stack of an abandoned thread are not destroyed
    leave(false);
    std::abort();  // a launch that failed is not resumed
}

int Device::barrier(bool vote, Location where) {
    Thread& t = threads_[running_];
    if (at_barrier_ == 0)
        barrier_at_ = where;
    else if (!same(barrier_at_, where))
        fail(fmt::format("divergent __syncthreads: other threads wait at {}:{}", barrier_at_.file, barrier_at_.line),
             where);
    ++at_barrier_;
    votes_ += vote;
    t.state = State::at_barrier;
    t.where = where;
    if (at_barrier_ == alive_) release_barrier();
    leave(false);
    return last_votes_;
}

void Device::release_barrier() {
    last_votes_ = votes_;
    votes_ = 0;
    at_barrier_ = 0;
    if (observer) observer->barrier();
    for (size_t i = 0; i < threads_.size(); ++i)
        if (threads_[i].state == State::at_barrier) make_ready(i);
}

Meeting& Device::arrive(uint32_t mask, uint64_t value, WarpOperation operation, Location where) {
    const size_t warp = running_ / kWarp, lane = running_ % kWarp;
    Thread& t = threads_[running_];
    Warp& w = warps_[warp];
    if ((mask >> lane & 1) == 0) fail(fmt::format("lane {} is not in its own mask {:#010x}", lane, mask), where);
    auto found = std::ranges::find(w.meetings, mask, [](const auto& m) { return m->mask; });
    if (found == w.meetings.end()) {
        w.meetings.push_back(std::make_unique<Meeting>());
        w.meetings.back()->mask = mask;
        found = w.meetings.end() - 1;
    }
    Meeting& m = **found;
    if (m.arrived == 0) {
        m.operation = operation;
        m.where = where;
    } else if (m.operation != operation || !same(m.where, where)) {
        fail(fmt::format("lanes of one mask meet in different warp operations: others wait at {}:{}", m.where.file,
                         m.where.line),
             where);
    }
    m.values[m.round % 2][lane] = value;
    m.arrived |= 1u << lane;
    t.state = State::in_warp_operation;
    t.where = where;
    t.mask = mask;
    return m;
}

Exchange Device::exchange(uint32_t mask, uint64_t value, WarpOperation operation, Location where) {
    Meeting& m = arrive(mask, value, operation, where);
    const auto& values = m.values[m.round % 2];
    const size_t warp = running_ / kWarp;
    if (complete(warps_[warp], m)) release(warp, m);
    leave(false);
    return {values.data(), m.present};
}

void Device::together(void* value, void (*body)(void* const* lanes), Location where) {
    constexpr uint32_t kAll = 0xffffffffu;
    Meeting& m = arrive(kAll, std::bit_cast<uintptr_t>(value), WarpOperation::together, where);
    const size_t warp = running_ / kWarp;
    if (m.arrived == kAll) {
        std::array<void*, kWarp> lanes;
        std::ranges::transform(m.values[m.round % 2], lanes.begin(),
                               [](uint64_t value) { return std::bit_cast<void*>(uintptr_t{value}); });
        in_thread_ = false;  // body's reads for other lanes have been reported by those lanes
        body(lanes.data());
        in_thread_ = true;
    }
    if (complete(warps_[warp], m)) release(warp, m);
    leave(false);
    if (m.present != kAll) fail("an operation of a whole warp, some of whose lanes have ended", where);
}

// A copy is made when it is waited for, but a GPU may make it at once: it is reported to an observer at both times.
void Device::copy_later(Copy copy) {
    if (copy.from) note(copy.from, copy.bytes, AccessKind::read, copy.site);
    note(copy.to, copy.bytes, AccessKind::write, copy.site);
    Thread& t = threads_[running_];
    copy.group = t.group;
    t.copies.push_back(copy);
}

void Device::wait_for_copies(unsigned pending) {
    Thread& t = threads_[running_];
    std::erase_if(t.copies, [&](const Copy& c) {
        if (c.group + pending >= t.group) return false;
        note(c.to, c.bytes, AccessKind::write, c.site);
        if (c.from)
            std::memcpy(c.to, c.from, c.bytes);
        else
            std::memset(c.to, 0, c.bytes);
        return true;
    });
}

void Device::release(size_t warp, Meeting& m) {
    for (size_t lane = 0; lane < kWarp; ++lane)
        if (m.arrived >> lane & 1) make_ready(warp * kWarp + lane);
    if (observer) observer->warp_operation(warp, m.arrived, m.operation);
    m.present = m.arrived;
    m.arrived = 0;
    ++m.round;
}

/// A message for a block in which no thread can run: how many threads, from which one on, wait where.
std::string Device::waiting() const {
    struct Group {
        size_t first, count;
    };
    std::map<std::tuple<std::string, unsigned, uint32_t>, Group> groups;
    for (size_t i = 0; i < threads_.size(); ++i) {
        const Thread& t = threads_[i];
        if (t.state != State::at_barrier && t.state != State::in_warp_operation) continue;
        const uint32_t mask = t.state == State::at_barrier ? 0 : t.mask;
        ++groups.try_emplace({t.where.file, t.where.line, mask}, Group{i, 0}).first->second.count;
    }
    std::string text;
    for (const auto& [key, group] : groups) {
        const auto& [file, line, mask] = key;
        text += fmt::format("{}{} threads from {} on wait at {}:{} ({})", text.empty() ? "" : "; ", group.count,
                            group.first, file, line,
                            mask == 0 ? "__syncthreads" : fmt::format("warp operation, mask {:#010x}", mask));
    }
    return text;
}

void* shared_array(const void* tag, const char* name, size_t bytes, Location where) {
    return device().shared_array(tag, name, bytes, where);
}

void* dynamic_shared() { return device().dynamic; }

int block_barrier(bool vote, Location where) { return device().barrier(vote, where); }

Exchange exchange(uint32_t mask, uint64_t value, WarpOperation operation, Location where) {
    return device().exchange(mask, value, operation, where);
}

uint64_t shuffle(uint32_t mask, uint64_t value, int source, Location where) {
    const Exchange e = device().exchange(mask, value, WarpOperation::shuffle, where);
    if ((e.present >> source & 1) == 0)
        device().fail(fmt::format("shuffle from lane {}, which does not take part", source), where);
    return e.values[source];
}

void together(void* value, void (*body)(void* const* lanes), Location where) { device().together(value, body, where); }

void copy_later(void* to, const void* from, size_t bytes) {
    device().copy_later({to, from, bytes, 0, __builtin_return_address(0)});
}

void end_copy_group() { device().end_copy_group(); }

void wait_for_copies(unsigned pending) { device().wait_for_copies(pending); }

int lane() { return device().lane(); }

}  // namespace dropforge::simt
