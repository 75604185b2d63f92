#include "kernels/cuda/emulator/checks/race.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/cuda/emulator/checks/program_file.h"

namespace dropforge::simt {

// --------------------------------------------------------------------------------------------------------------- order
void RaceDetector::launch_begins(const LaunchShape& shape) {
    seen_.assign(size_t{shape.block.x} * shape.block.y * shape.block.z, {});
    cells_.clear();
    released_.clear();
    shared_.clear();
}

void RaceDetector::launch_ends() {
    for (const Range& r : shared_) mark(r.begin, r.bytes, false);  // the memory returns to the program
    shared_.clear();
}

void RaceDetector::block_begins() {
    std::ranges::fill(seen_, std::array<uint32_t, kWarp>{});
    barriers_ = 0;
    fenced_.clear();
    acquired_.clear();
    shared_.clear();
}

void RaceDetector::shared_array(const char* name, const void* p, size_t bytes) {
    shared_.push_back({name, p, bytes});
    mark(p, bytes, true);
    const auto begin = reinterpret_cast<uintptr_t>(p);
    for (uintptr_t byte = begin; byte < begin + bytes; ++byte)  // the previous block had other shared memory
        if (Cell* cell = cells_.find(byte)) *cell = {};
}

void RaceDetector::warp_operation(size_t warp, uint32_t lanes, WarpOperation operation) {
    if (operation != WarpOperation::sync) return;
    const auto each = [&](auto&& f) {
        for (size_t lane = 0; lane < kWarp; ++lane)
            if (lanes >> lane & 1) f(seen_[warp * kWarp + lane], lane);
    };
    std::array<uint32_t, kWarp> all{};
    each([&](auto& seen, size_t lane) {
        ++seen[lane];
        for (size_t i = 0; i < kWarp; ++i) all[i] = std::max(all[i], seen[i]);
    });
    each([&](auto& seen, size_t) { seen = all; });
}

void RaceDetector::fence(uint32_t thread) {
    const uint32_t clock = ++seen_[thread][thread % kWarp];
    std::erase_if(fenced_, [&](const Fence& f) { return f.thread == thread; });
    fenced_.push_back({barriers_, clock, static_cast<uint16_t>(thread)});
}

/// An atomic function publishes what this block has fenced, and what it knew, to all later atomic accesses of the word.
void RaceDetector::synchronize(uintptr_t word, const Stamp& now) {
    Fences& published = released_[word];
    for (const auto& [block, fences] : published) {
        if (block == now.block) continue;
        auto& known = acquired_[block];
        known.insert(known.end(), fences.begin(), fences.end());
    }
    for (const auto& [block, fences] : acquired_) published[block] = fences;
    auto& of_block = published[now.block];
    of_block.clear();
    for (const Fence& f : fenced_)
        if (f.thread == now.thread || f.barriers < now.barriers) of_block.push_back(f);
}

/// Whether a happens before b, the current access.
bool RaceDetector::ordered(const Stamp& a, const Stamp& b) const {
    if (a.block != b.block) {
        const auto known = acquired_.find(a.block);
        return known != acquired_.end() && std::ranges::any_of(known->second, [&](const Fence& f) {
                   return a.barriers < f.barriers || (a.thread == f.thread && a.clock < f.clock);
               });
    }
    if (a.thread == b.thread || a.barriers != b.barriers) return true;
    return a.thread / kWarp == b.thread / kWarp && a.clock < seen_[b.thread][a.thread % kWarp];
}

// ------------------------------------------------------------------------------------------------------------ accesses
void RaceDetector::access(const Access& a) {
    const Stamp now{a.site, a.block, barriers_, seen_[a.thread][a.thread % kWarp], static_cast<uint16_t>(a.thread),
                    a.kind};
    if (a.kind == AccessKind::atomic) synchronize(a.address, now);
    for (uintptr_t byte = a.address; byte < a.address + a.bytes; ++byte) check_byte(byte, now);
}

void RaceDetector::check_byte(uintptr_t byte, const Stamp& now) {
    if (bool* unwritten = unwritten_.find(byte); unwritten && *unwritten) {
        if (now.kind != AccessKind::write) report_unwritten(now, byte);
        *unwritten = false;
    }
    const auto races = [&](const Stamp& before) {
        const bool harmless = before.kind == now.kind && now.kind != AccessKind::write;  // both read, or both atomic
        return before.site && !harmless && !ordered(before, now);
    };
    Cell& cell = cells_[byte];
    for (const Stamp* before : {&cell.write, &cell.unordered[0], &cell.unordered[1]})
        if (races(*before)) report_race(*before, now, byte);
    remember(cell, now);
}

void RaceDetector::remember(Cell& cell, const Stamp& now) const {
    auto& [first, second] = cell.unordered;
    if (now.kind == AccessKind::write) {
        cell = {now, {}};
        return;
    }
    if (now.kind == AccessKind::atomic) cell.write = now;
    const auto distance = [](const Stamp& a, const Stamp& b) {
        return a.block != b.block ? 2 : a.thread / kWarp != b.thread / kWarp ? 1 : 0;
    };
    if (!first.site || ordered(first, now))
        first = now;
    else if (!second.site || ordered(second, now) || distance(first, now) > distance(first, second))
        second = now;
}

void RaceDetector::mark(const void* p, size_t bytes, bool unwritten) {
    const auto begin = reinterpret_cast<uintptr_t>(p);
    for (uintptr_t byte = begin; byte < begin + bytes; ++byte) {
        if (unwritten)
            unwritten_[byte] = true;
        else if (bool* mark = unwritten_.find(byte))
            *mark = false;
    }
}

// ------------------------------------------------------------------------------------------------------------- reports
namespace {

const char* name_of(AccessKind kind) {
    return kind == AccessKind::read ? "read" : kind == AccessKind::write ? "write" : "atomic access";
}

}  // namespace

std::string RaceDetector::place(uintptr_t byte) const {
    for (const Range& r : shared_)
        if (const uintptr_t offset = byte - reinterpret_cast<uintptr_t>(r.begin); offset < r.bytes)
            return fmt::format("byte {} of shared array {}", offset, r.name);
    return "global memory";
}

void RaceDetector::report_race(const Stamp& a, const Stamp& b, uintptr_t byte) {
    if (!reported_.insert(std::minmax(a.site, b.site)).second) return;
    complaints_ += fmt::format("race on {}: {} by thread {} of block {} at {}, {} by thread {} of block {} at {}\n",
                               place(byte), name_of(a.kind), a.thread, a.block, source_line(a.site), name_of(b.kind),
                               b.thread, b.block, source_line(b.site));
}

void RaceDetector::report_unwritten(const Stamp& now, uintptr_t byte) {
    if (!reported_.insert({nullptr, now.site}).second) return;
    complaints_ += fmt::format("{} of {}, which nothing was written to, by thread {} of block {} at {}\n",
                               name_of(now.kind), place(byte), now.thread, now.block, source_line(now.site));
}

}  // namespace dropforge::simt
