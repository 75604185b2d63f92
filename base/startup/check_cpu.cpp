// Refuses a CPU that lacks what the program was compiled for, before anything else runs: a program built for one
// machine
// (-march=native) and moved to another says so instead of dying of SIGILL.
// This file is compiled for the oldest CPU of its family (CMakeLists.txt) and calls nothing but libc: an inline
// function of a header could be the copy that another file compiled.
#include <stdio.h>
#include <unistd.h>

#include "base/instruction_sets.h"

#ifdef __x86_64__
#include <cpuid.h>
#endif

namespace dropforge {

#ifdef __x86_64__

namespace {

/// XCR0: the register states that the operating system saves.
unsigned saved_states() {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    constexpr unsigned kOsxsave = 1U << 27;
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx & kOsxsave) == 0) return 0;
    unsigned low = 0, high = 0;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

}  // namespace

const InstructionSet* first_missing(const InstructionSet* sets) {
    const unsigned saved = saved_states();
    for (const InstructionSet* set = sets; set->name != nullptr; ++set) {
        unsigned words[4] = {};
        const int known = __get_cpuid_count(set->leaf, set->subleaf, &words[0], &words[1], &words[2], &words[3]);
        const bool there = known != 0 && (words[set->word] >> set->bit & 1U) != 0;
        if (!there || (saved & set->saved_state) != set->saved_state) return set;
    }
    return nullptr;
}

#else

const InstructionSet* first_missing(const InstructionSet*) { return nullptr; }

#endif

namespace {

__attribute__((constructor(101))) void refuse_older_cpu() {  // the first priority that programs may use
    const InstructionSet* missing = first_missing(kCompiledFor);
    if (missing == nullptr) return;
    dprintf(STDERR_FILENO,
            "error: this program was compiled for CPUs with %s, which this one lacks; build it on this machine, or "
            "with -DDROPFORGE_NATIVE=OFF\n",
            missing->name);
    _exit(1);
}

}  // namespace

}  // namespace dropforge
