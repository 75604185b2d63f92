// What the emulator tells of a launch to checks that look at more than its results: checks/race.h, checks/traffic.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/cuda/emulator/simt.h"

namespace dropforge::simt {

enum class AccessKind : uint8_t { read, write, atomic };

/// One access of a CUDA thread to memory that is not its stack. Seen only of kernel files that are compiled for it
/// (checks/calls.cpp), and of atomic functions.
struct Access {
    uintptr_t address;
    size_t bytes;
    AccessKind kind;
    const void* site;        // where in the program the call that tells of it returns to
    uint32_t block, thread;  // counted through all three dimensions, x first
};

class Observer {
  public:
    Observer() = default;
    virtual ~Observer() = default;
    Observer(const Observer&) = delete;
    Observer& operator=(const Observer&) = delete;

    virtual void launch_begins(const Shape&) {}
    virtual void launch_ends() {}
    virtual void block_begins() {}
    /// An array of the block's shared memory, whose contents are undefined: when a block begins, and when it is made.
    virtual void shared_array(const char* /*name*/, const void*, size_t /*bytes*/) {}
    virtual void access(const Access&) {}
    /// All threads of the block that have not ended have met.
    virtual void barrier() {}
    /// These lanes of a warp, those of the mask that have not ended, have met at a warp operation.
    virtual void warp_operation(size_t /*warp*/, uint32_t /*lanes*/, WarpOperation) {}
    /// __threadfence() of a thread.
    virtual void fence(uint32_t /*thread*/) {}

    /// What declare_unwritten and declare_written say (simt.h).
    virtual void unwritten(const void*, size_t /*bytes*/) {}
    virtual void written(const void*, size_t /*bytes*/) {}
    virtual void all_written() {}
    /// What was found since this was last asked; empty if nothing is wrong.
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

/// Tells the observer, if there is one and a CUDA thread runs, of an access of that thread. `site`: as in Access.
void note_access(const void* p, size_t bytes, AccessKind kind, const void* site);

}  // namespace dropforge::simt
