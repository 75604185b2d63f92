// Which x86 instruction sets the compiler was allowed to use in this build, as plain data, so that they can be checked
// without executing any of them.
#pragma once

namespace dropforge {

/// Where CPUID tells of an instruction set, and what the operating system must save for it.
struct InstructionSet {
    const char* name;  // nullptr ends a list
    unsigned leaf, subleaf;
    unsigned word;  // 0 … 3: eax, ebx, ecx, edx
    unsigned bit;
    unsigned saved_state;  // bits of XCR0; 0: none
};

/// What this build was compiled for; empty on other processors than x86.
extern const InstructionSet kCompiledFor[];

/// The first of `sets` that this CPU or its operating system lacks; nullptr if it has them all.
const InstructionSet* first_missing(const InstructionSet* sets);

}  // namespace dropforge
