#include "kernels/cuda/emulator/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"

namespace dropforge::simt {

#if defined(__x86_64__)

// System V: a called function keeps rbp, rbx and r12 … r15, so the switch needs to save no more than these.
asm(R"(
.text
.globl dropforge_simt_switch
.type dropforge_simt_switch, @function
dropforge_simt_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq (%rsi), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size dropforge_simt_switch, .-dropforge_simt_switch
)");

void prepare(Continuation& to, std::byte* stack, size_t bytes, void (*entry)()) {
    constexpr int kSavedRegisters = 6;
    auto** top = reinterpret_cast<void**>(stack + bytes / 16 * 16);
    *--top = nullptr;  // the return address of `entry`: the stack is aligned as after a call
    *--top = reinterpret_cast<void*>(entry);
    for (int i = 0; i < kSavedRegisters; ++i) *--top = nullptr;
    to.stack_pointer = top;
}

#else

void prepare(Continuation& to, std::byte* stack, size_t bytes, void (*entry)()) {
    getcontext(&to.context);
    to.context.uc_stack.ss_sp = stack;
    to.context.uc_stack.ss_size = bytes;
    to.context.uc_link = nullptr;
    makecontext(&to.context, entry, 0);
}

#endif

Stacks::Stacks(size_t count)
    : guard_(static_cast<size_t>(sysconf(_SC_PAGESIZE))), bytes_(count * (kBytes + guard_)), memory_(nullptr) {
    void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    require(memory != MAP_FAILED, "no memory for the stacks of {} threads ({} bytes)", count, bytes_);
    memory_ = static_cast<std::byte*>(memory);
    for (size_t i = 0; i < count; ++i)
        require(mprotect((*this)[i] - guard_, guard_, PROT_NONE) == 0, "no guard page below the stack of thread {}", i);
}

Stacks::~Stacks() { munmap(memory_, bytes_); }

}  // namespace dropforge::simt
