// The interface by which the emulator reports a launch's memory accesses and barriers to checks: checks/race.h,
// checks/traffic.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/cuda/emulator/simt.h"

namespace dropforge::simt {

enum class AccessKind : uint8_t { read, write, atomic };

/// An access of a CUDA thread to memory other than its stack. Reported by kernel files that are compiled for it
/// (checks/calls.cpp), and by atomic functions.
struct Access {
    uintptr_t address;
    size_t bytes;
    AccessKind kind;
    const void* site;        // the return address of the reporting call
    uint32_t block, thread;  // counted through all three dimensions, x first
};

class Observer {
  public:
    Observer() = default;
    virtual ~Observer() = default;
    Observer(const Observer&) = delete;
    Observer& operator=(const Observer&) = delete;

    virtual void launch_begins(const LaunchShape&) {}
    virtual void launch_ends() {}
    virtual void block_begins() {}
    /// An array of the block's shared memory with undefined contents: when a block begins, and when it is declared.
    virtual void shared_array(const char* /*name*/, const void*, size_t /*bytes*/) {}
    virtual void access(const Access&) {}
    /// A barrier of all threads of the block that have not ended.
    virtual void barrier() {}
    /// A warp operation of these lanes: those of its mask that have not ended.
    virtual void warp_operation(size_t /*warp*/, uint32_t /*lanes*/, WarpOperation) {}
    /// __threadfence() of a thread.
    virtual void fence(uint32_t /*thread*/) {}

    /// A call of declare_unwritten or declare_written (simt.h).
    virtual void unwritten(const void*, size_t /*bytes*/) {}
    virtual void written(const void*, size_t /*bytes*/) {}
    virtual void all_written() {}
    /// The errors found since the last call; empty: none.
    virtual std::string complaints() { return {}; }
};

/// Observes the launches of this host thread as long as it lives.
class ScopedObserver {
  public:
    explicit ScopedObserver(Observer& observer);
    ~ScopedObserver();
    ScopedObserver(const ScopedObserver&) = delete;
    ScopedObserver& operator=(const ScopedObserver&) = delete;

  private:
    Observer* previous_;
};

/// Reports an access of the running CUDA thread to the observer, if there are both. `site`: as in Access.
void note_access(const void* p, size_t bytes, AccessKind kind, const void* site);

}  // namespace dropforge::simt
