// A pipeline of one reader, many workers and one ordered consumer over a ring of reused slots. The output and its order
// do not depend on the number of workers, and the memory is that of the slots.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace dropforge::data {

/// Runs a pipeline. produce(Slot&) -> bool fills slots in order, in its own thread, until it returns false;
/// make_worker() is called in each of `workers` threads and returns work(Slot&); consume(Slot&) is called for the slots
/// in order, in the calling thread. The first exception of any of them stops all and is rethrown.
template <typename Slot, typename Produce, typename MakeWorker, typename Consume>
void run_pipeline(int workers, Produce&& produce, MakeWorker&& make_worker, Consume&& consume) {
    std::vector<Slot> slots(2 * static_cast<size_t>(workers) + 2);
    std::vector<char> worked(slots.size(), 0);
    std::mutex mutex;
    std::condition_variable changed;  // one for all: slots are large, so wake-ups are rare
    uint64_t produced = 0, claimed = 0, consumed = 0;
    bool at_end = false;
    std::exception_ptr error;

    const auto slot_of = [&](uint64_t index) -> Slot& { return slots[index % slots.size()]; };
    /// Waits for the condition; false if the pipeline has failed.
    const auto wait_for = [&](std::unique_lock<std::mutex>& lock, auto&& condition) {
        changed.wait(lock, [&] { return error || condition(); });
        return !error;
    };
    const auto guarded = [&](auto&& stage) {
        try {
            stage();
        } catch (...) {
            const std::lock_guard lock(mutex);
            if (!error) error = std::current_exception();
        }
        changed.notify_all();
    };
    const auto reader = [&] {
        for (bool more = true; more; changed.notify_all()) {
            std::unique_lock lock(mutex);
            if (!wait_for(lock, [&] { return produced - consumed < slots.size(); })) return;
            lock.unlock();
            more = produce(slot_of(produced));  // only this thread changes `produced`
            lock.lock();
            (more ? void(++produced) : void(at_end = true));
        }
    };
    const auto worker = [&] {
        auto work = make_worker();
        for (;;) {
            std::unique_lock lock(mutex);
            if (!wait_for(lock, [&] { return claimed < produced || at_end; }) || claimed == produced) return;
            const uint64_t index = claimed++;
            lock.unlock();
            work(slot_of(index));
            lock.lock();
            worked[index % slots.size()] = 1;
            lock.unlock();
            changed.notify_all();
        }
    };
    const auto consumer = [&] {
        for (;; changed.notify_all()) {
            std::unique_lock lock(mutex);
            if (!wait_for(lock,
                          [&] { return worked[consumed % slots.size()] != 0 || (at_end && consumed == produced); }))
                return;
            if (worked[consumed % slots.size()] == 0) return;
            lock.unlock();
            consume(slot_of(consumed));
            lock.lock();
            worked[consumed % slots.size()] = 0;
            ++consumed;
        }
    };
    {
        std::vector<std::jthread> threads;  // joined at the end of this block
        guarded([&] {
            threads.emplace_back([&] { guarded(reader); });
            for (int i = 0; i < workers; ++i) threads.emplace_back([&] { guarded(worker); });
            consumer();
        });
    }
    if (error) std::rethrow_exception(error);
}

}  // namespace dropforge::data
