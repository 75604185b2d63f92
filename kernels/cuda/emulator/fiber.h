// Switching between stacks, so that one CUDA thread can wait for another on a single host thread.
#pragma once

#include <cstddef>
#include <cstdint>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace dropforge::simt {

/// The state of a suspended stack, without floating-point modes, which kernels do not change.
struct Continuation {
#if defined(__x86_64__)
    void* stack_pointer = nullptr;
#else
    ucontext_t context;
#endif
};

/// Makes `to` start `entry` on the stack [stack, stack + bytes) when it is first switched to. `entry` never returns.
void prepare(Continuation& to, std::byte* stack, size_t bytes, void (*entry)());

/// Suspends the running stack in `from` and resumes `to`. On x86-64 20 million switches a second and core; elsewhere
/// the system's swapcontext, which takes some fifty times as long.
#if defined(__x86_64__)
extern "C" void dropforge_simt_switch(Continuation* from, const Continuation* to);
inline void switch_to(Continuation& from, const Continuation& to) { dropforge_simt_switch(&from, &to); }
#else
inline void switch_to(Continuation& from, const Continuation& to) { swapcontext(&from.context, &to.context); }
#endif

/// The stacks of all threads of a block: one mapping, a guard page below each, so that an overflow faults at once.
class Stacks {
  public:
    static constexpr size_t kBytes = 128 << 10;

    explicit Stacks(size_t count);
    ~Stacks();
    Stacks(const Stacks&) = delete;
    Stacks& operator=(const Stacks&) = delete;

    std::byte* operator[](size_t i) const { return memory_ + i * (kBytes + guard_) + guard_; }
    bool contain(const void* p) const { return p >= memory_ && p < memory_ + bytes_; }

  private:
    size_t guard_, bytes_;
    std::byte* memory_;
};

}  // namespace dropforge::simt
