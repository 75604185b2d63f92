// Launches: checks the shape, runs block after block, and switches between threads.
#include <algorithm>
#include <cstdlib>
#include <numeric>

#include "base/error.h"
#include "kernels/cuda/emulator/asan.h"
#include "kernels/cuda/emulator/cuda.h"
#include "kernels/cuda/emulator/device.h"

thread_local constinit uint3 threadIdx{}, blockIdx{};
thread_local constinit dim3 blockDim{}, gridDim{};

namespace dropforge::simt {

namespace {

thread_local constinit Order chosen_order = Order::forward;
thread_local constinit uint64_t chosen_seed = 1;

void fiber_entry() { device().thread_main(); }

void check_shape(const LaunchShape& s) {
    const auto threads = uint64_t{s.block.x} * s.block.y * s.block.z, blocks = uint64_t{s.grid.x} * s.grid.y * s.grid.z;
    const bool fits = threads >= 1 && threads <= kMaxThreads && s.block.z <= 64 && blocks >= 1 &&
                      s.grid.x <= 0x7fffffffu && s.grid.y <= 65535 && s.grid.z <= 65535 &&
                      s.dynamic_bytes <= kMaxSharedBytes;
    require(fits, "{}:{}: no device takes a launch of grid ({}, {}, {}), block ({}, {}, {}), {} bytes of shared memory",
            s.where.file, s.where.line, s.grid.x, s.grid.y, s.grid.z, s.block.x, s.block.y, s.block.z, s.dynamic_bytes);
}

}  // namespace

ScopedOrder::ScopedOrder(Order order, uint64_t seed) : previous_(chosen_order), previous_seed_(chosen_seed) {
    chosen_order = order;
    chosen_seed = seed;
}
ScopedOrder::~ScopedOrder() {
    chosen_order = previous_;
    chosen_seed = previous_seed_;
}

Device& device() {
    thread_local Device d;
    return d;
}

void run(const LaunchShape& shape, void (*body)(void*), void* argument) { device().run(shape, body, argument); }

void Device::start_launch(const LaunchShape& shape) {
    const dim3 b = shape.block;
    const size_t count = size_t{b.x} * b.y * b.z;
    if (!stacks_) stacks_.emplace(kMaxThreads);
    free_stacks_.clear();
    for (size_t i = kMaxThreads; i-- > 0;) free_stacks_.push_back((*stacks_)[i]);
    threads_.assign(count, {});
    warps_.clear();
    warps_.resize((count + kWarp - 1) / kWarp);
    for (size_t i = 0; i < count; ++i) {
        threads_[i].index = {static_cast<unsigned>(i % b.x), static_cast<unsigned>(i / b.x % b.y),
                             static_cast<unsigned>(i / b.x / b.y)};
        warps_[i / kWarp].lanes |= 1u << (i % kWarp);
    }
    order_.resize(count);
    rank_.resize(count);
    std::iota(order_.begin(), order_.end(), size_t{0});
    if (chosen_order == Order::reverse) std::ranges::reverse(order_);
    random_.seed(chosen_seed);
    shared_.clear();
    static const char tag = 0;
    if (observer) observer->launch_begins(shape);
    dynamic = shape.dynamic_bytes > 0 ? shared_array(&tag, "(dynamic)", shape.dynamic_bytes, shape.where) : nullptr;
    failure_.clear();
    blockDim = shape.block;
    gridDim = shape.grid;
}

void Device::run(const LaunchShape& shape, void (*body)(void*), void* argument) {
    check_shape(shape);
    body_ = body;
    argument_ = argument;
    start_launch(shape);
    const dim3 g = shape.grid;
    const size_t blocks = size_t{g.x} * g.y * g.z;
    std::vector<size_t> shuffled;
    if (chosen_order == Order::random) {
        shuffled.resize(blocks);
        std::iota(shuffled.begin(), shuffled.end(), size_t{0});
        std::ranges::shuffle(shuffled, random_);
    }
    for (size_t i = 0; i < blocks; ++i) {
        const size_t block = chosen_order == Order::forward   ? i
                             : chosen_order == Order::reverse ? blocks - 1 - i
                                                              : shuffled[i];
        blockIdx = {static_cast<unsigned>(block % g.x), static_cast<unsigned>(block / g.x % g.y),
                    static_cast<unsigned>(block / g.x / g.y)};
        block_ = static_cast<uint32_t>(block);
        run_block(i);
    }
    shared_.clear();
    if (observer) observer->launch_ends();
}

void Device::order_threads() {
    if (chosen_order == Order::random) {
        if (random_() % 2 == 0) {
            std::ranges::shuffle(order_, random_);
        } else {
            std::vector<size_t> warps(warps_.size());
            std::iota(warps.begin(), warps.end(), size_t{0});
            std::ranges::shuffle(warps, random_);
            auto next = order_.begin();
            for (const size_t w : warps)
                for (size_t i = w * kWarp; i < std::min((w + 1) * kWarp, order_.size()); ++i) *next++ = i;
        }
    }
    for (size_t i = 0; i < order_.size(); ++i) rank_[order_[i]] = i;
}

void Device::run_block(size_t nth) {
    order_threads();
    if (nth > 0) shared_.poison();
    if (observer) {
        observer->block_begins();
        shared_.for_each([&](auto... array) { observer->shared_array(array...); });
    }
    for (Warp& w : warps_) {
        w.ended = 0;
        w.meetings.clear();
    }
    ready_.clear();
    alive_ = threads_.size();
    at_barrier_ = 0;
    votes_ = 0;
    for (size_t i = 0; i < threads_.size(); ++i) {
        make_ready(i);
        threads_[i].state = State::fresh;
        threads_[i].copies.clear();
        threads_[i].group = 0;
    }
    while (alive_ > 0 && failure_.empty()) {
        const std::optional<size_t> next = ready_.pop();
        if (next)
            resume(order_[*next]);
        else
            failure_ = "deadlock: " + waiting();
    }
    if (failure_.empty() && shared_.bytes() > kMaxSharedBytes)
        failure_ = fmt::format("{} bytes of shared memory, of at most {}", shared_.bytes(), kMaxSharedBytes);
    if (failure_.empty()) failure_ = shared_.damage();
    if (failure_.empty()) return;
#if DROPFORGE_ASAN
    for (const Thread& t : threads_)
        if (t.stack) __asan_unpoison_memory_region(t.stack, Stacks::kBytes);
#endif
    shared_.clear();  // the stacks of unfinished threads can be reused at once: kernels own no resources
    throw Error("{} [block ({}, {}, {})]", failure_, blockIdx.x, blockIdx.y, blockIdx.z);
}

void Device::resume(size_t thread) {
    Thread& t = threads_[thread];
    running_ = thread;
    threadIdx = t.index;
    if (t.state == State::fresh) {
        t.stack = free_stacks_.back();
        free_stacks_.pop_back();
        prepare(t.continuation, t.stack, Stacks::kBytes, fiber_entry);
    }
    t.state = State::ready;
#if DROPFORGE_ASAN
    __sanitizer_start_switch_fiber(&scheduler_asan_, t.stack, Stacks::kBytes);
#endif
    in_thread_ = true;
    switch_to(scheduler_, t.continuation);
    in_thread_ = false;
#if DROPFORGE_ASAN
    __sanitizer_finish_switch_fiber(scheduler_asan_, nullptr, nullptr);
#endif
    if (t.state != State::ended) return;
#if DROPFORGE_ASAN
    __asan_unpoison_memory_region(t.stack, Stacks::kBytes);
#endif
    free_stacks_.push_back(t.stack);
    t.stack = nullptr;
}

/// Switches from a thread to the scheduler.
void Device::leave([[maybe_unused]] bool for_ever) {
    Thread& t = threads_[running_];
#if DROPFORGE_ASAN
    __sanitizer_start_switch_fiber(for_ever ? nullptr : &t.asan, scheduler_stack_, scheduler_bytes_);
#endif
    switch_to(t.continuation, scheduler_);
#if DROPFORGE_ASAN
    __sanitizer_finish_switch_fiber(t.asan, nullptr, nullptr);
#endif
}

void Device::thread_main() {
#if DROPFORGE_ASAN
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack_, &scheduler_bytes_);
#endif
    body_(argument_);
    const size_t warp = running_ / kWarp;
    Warp& w = warps_[warp];
    threads_[running_].state = State::ended;
    --alive_;
    w.ended |= 1u << (running_ % kWarp);
    // Barriers no longer wait for a thread that has ended.
    for (const auto& m : w.meetings)
        if (m->arrived != 0 && complete(w, *m)) release(warp, *m);
    if (alive_ > 0 && at_barrier_ == alive_) release_barrier();
    leave(true);
    std::abort();  // an ended thread is not resumed
}

}  // namespace dropforge::simt
