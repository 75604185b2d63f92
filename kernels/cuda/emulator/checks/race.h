// Finds data races of CUDA kernels and reads of uninitialised memory, whether or not they change a result. For kernel
// files that are compiled for it (compile.sh).
//
// Of two accesses to one byte, at least one of them a write and not both atomic, one must happen before the other in
// every run that CUDA allows: by the order of launches; in one thread; by a barrier of the block; by a __syncwarp whose
// mask has both lanes (shuffles and votes order no memory); or, between blocks, by __threadfence and an atomic function
// on one word, before what the second block does after that ("the last block adds up").
#pragma once

#include <array>
#include <bitset>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kernels/cuda/emulator/observer.h"

namespace dropforge::simt {

/// Values of type T, one for each byte of memory, in pages that are allocated at the first write.
template <typename T>
class ByteMap {
  public:
    static constexpr size_t kPage = 1024;
    using Page = std::array<T, kPage>;

    /// The byte's value; nullptr if its page was never allocated.
    T* find(uintptr_t byte) {
        if (byte / kPage != recent_number_) {
            const auto found = pages_.find(byte / kPage);
            if (found == pages_.end()) return nullptr;
            recent_number_ = byte / kPage;
            recent_ = found->second.get();
        }
        return &(*recent_)[byte % kPage];
    }
    T& operator[](uintptr_t byte) {
        if (T* value = find(byte)) return *value;
        pages_.emplace(byte / kPage, std::make_unique<Page>());
        return *find(byte);
    }
    void clear() {
        pages_.clear();
        recent_number_ = ~uintptr_t{0};
    }

  private:
    std::unordered_map<uintptr_t, std::unique_ptr<Page>> pages_;
    uintptr_t recent_number_ = ~uintptr_t{0};
    Page* recent_ = nullptr;
};

class RaceDetector : public Observer {
  public:
    void launch_begins(const LaunchShape&) override;
    void launch_ends() override;
    void block_begins() override;
    void shared_array(const char* name, const void* p, size_t bytes) override;
    void access(const Access& a) override;
    void barrier() override { ++barriers_; }
    void warp_operation(size_t warp, uint32_t lanes, WarpOperation operation) override;
    void fence(uint32_t thread) override;
    void unwritten(const void* p, size_t bytes) override { mark(p, bytes, true); }
    void written(const void* p, size_t bytes) override { mark(p, bytes, false); }
    void all_written() override { unwritten_.clear(); }
    std::string complaints() override { return std::exchange(complaints_, {}); }

  private:
    /// An access and its time. `clock` counts the __syncwarps and fences of the thread.
    struct Stamp {
        const void* site = nullptr;  // nullptr: there was none
        uint32_t block = 0, barriers = 0, clock = 0;
        uint16_t thread = 0;
        AccessKind kind{};
    };
    /// The last write or atomic access of a byte, and, of the reads or atomic accesses since then that are ordered
    /// neither with one another nor with a later one, the two furthest apart (lanes, warps, blocks).
    struct Cell {
        Stamp write, unordered[2];
    };
    /// The accesses of a block before a fence: those before the thread's last barrier, and the thread's own.
    struct Fence {
        uint32_t barriers, clock;
        uint16_t thread;
    };
    using Fences = std::unordered_map<uint32_t, std::vector<Fence>>;  // by block
    struct Range {
        const char* name;
        const void* begin;
        size_t bytes;
    };

    bool ordered(const Stamp& a, const Stamp& b) const;
    void check_byte(uintptr_t byte, const Stamp& now);
    void remember(Cell& cell, const Stamp& now) const;
    void synchronize(uintptr_t word, const Stamp& now);
    void mark(const void* p, size_t bytes, bool unwritten);
    void report_race(const Stamp& a, const Stamp& b, uintptr_t byte);
    void report_unwritten(const Stamp& now, uintptr_t byte);
    std::string place(uintptr_t byte) const;

    // State of the running block. seen_[t][l] is the clock of lane l of thread t's warp when t last synchronised with
    // it.
    std::vector<std::array<uint32_t, kWarp>> seen_;
    uint32_t barriers_ = 0;
    std::vector<Fence> fenced_;
    Fences acquired_;
    std::vector<Range> shared_;

    ByteMap<Cell> cells_;                             // of the launch
    std::unordered_map<uintptr_t, Fences> released_;  // of the launch, by the word of an atomic function
    ByteMap<bool> unwritten_;
    std::set<std::pair<const void*, const void*>> reported_;  // sites, the smaller one first
    std::string complaints_;
};

}  // namespace dropforge::simt
