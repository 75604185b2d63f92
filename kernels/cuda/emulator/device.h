// The scheduler behind simt.h: threads of a block as fibers, their barriers and their warp operations.
#pragma once

#include <array>
#include <bit>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/emulator/fiber.h"
#include "kernels/cuda/emulator/observer.h"
#include "kernels/cuda/emulator/shared_memory.h"
#include "kernels/cuda/emulator/simt.h"

namespace dropforge::simt {

enum class State : uint8_t { fresh, ready, in_warp_operation, at_barrier, ended };

struct Copy {
    void* to;
    const void* from;
    size_t bytes;
    unsigned group;
    const void* site;  // as in Access
};

struct Thread {
    Continuation continuation;
    std::byte* stack = nullptr;
    uint3 index{};
    State state = State::fresh;
    Location where;        // of the last wait
    uint32_t mask = 0;     // of the last warp operation
    void* asan = nullptr;  // the address sanitizer's state of a suspended stack
    std::vector<Copy> copies;
    unsigned group = 0;  // of the next copies
};

/// The warp operation of the lanes of one mask. Values have two buffers: a lane may reach the next operation before the
/// others have read this one's.
struct Meeting {
    uint32_t mask = 0, arrived = 0, present = 0;
    WarpOperation operation{};
    Location where;
    unsigned round = 0;
    std::array<std::array<uint64_t, kWarp>, 2> values{};
};

struct Warp {
    uint32_t lanes = 0, ended = 0;
    std::vector<std::unique_ptr<Meeting>> meetings;
};

/// The threads that can run, by rank.
class ReadyQueue {
  public:
    void push(size_t rank) { words_[rank / 64] |= uint64_t{1} << (rank % 64); }
    std::optional<size_t> pop() {
        for (size_t i = 0; i < words_.size(); ++i) {
            if (words_[i] == 0) continue;
            const auto bit = static_cast<size_t>(std::countr_zero(words_[i]));
            words_[i] &= words_[i] - 1;
            return i * 64 + bit;
        }
        return std::nullopt;
    }
    void clear() { words_.fill(0); }

  private:
    std::array<uint64_t, kMaxThreads / 64> words_{};
};

/// The emulated device of a host thread; runs one launch after the other.
class Device {
  public:
    void run(const LaunchShape& shape, void (*body)(void*), void* argument);
    int barrier(bool vote, Location where);
    Exchange exchange(uint32_t mask, uint64_t value, WarpOperation operation, Location where);
    void together(void* value, void (*body)(void* const* lanes), Location where);
    /// Ends the launch with an Error, called from inside a thread.
    [[noreturn]] void fail(std::string&& what, Location where);
    void thread_main();

    void copy_later(Copy copy);
    void end_copy_group() { ++threads_[running_].group; }
    void wait_for_copies(unsigned pending);
    int lane() const { return static_cast<int>(running_ % kWarp); }
    std::byte* shared_array(const void* tag, const char* name, size_t bytes, Location where);
    void note(const void* p, size_t bytes, AccessKind kind, const void* site);
    void fence();

    Observer* observer = nullptr;
    std::byte* dynamic = nullptr;

  private:
    void start_launch(const LaunchShape& shape);
    void run_block(size_t block);
    void order_threads();
    void resume(size_t thread);
    void leave(bool for_ever);
    void make_ready(size_t thread) {
        threads_[thread].state = State::ready;
        ready_.push(rank_[thread]);
    }
    void release_barrier();
    Meeting& arrive(uint32_t mask, uint64_t value, WarpOperation operation, Location where);
    void release(size_t warp, Meeting& meeting);
    static bool complete(const Warp& w, const Meeting& m) {
        return ((m.arrived | w.ended) & m.mask) == (m.mask & w.lanes);
    }
    std::string waiting() const;

    SharedMemory shared_;
    void (*body_)(void*) = nullptr;
    void* argument_ = nullptr;
    std::vector<Thread> threads_;
    std::vector<Warp> warps_;
    std::vector<size_t> order_, rank_;  // the threads in the order in which they may run, and the inverse
    ReadyQueue ready_;
    std::mt19937_64 random_;
    std::optional<Stacks> stacks_;
    std::vector<std::byte*> free_stacks_;  // threads that never wait all use the last one
    Continuation scheduler_;
    size_t running_ = 0, alive_ = 0, at_barrier_ = 0;
    bool in_thread_ = false;  // rather than in the scheduler, or outside a launch
    uint32_t block_ = 0;      // the running block
    int votes_ = 0, last_votes_ = 0;
    Location barrier_at_;
    std::string failure_;
    void* scheduler_asan_ = nullptr;
    const void* scheduler_stack_ = nullptr;
    size_t scheduler_bytes_ = 0;
};

/// The device of this host thread.
Device& device();

}  // namespace dropforge::simt
