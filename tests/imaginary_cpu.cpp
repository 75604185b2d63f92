// A program compiled for a CPU that does not exist, for instruction_sets_test: it must stop before main, and before the
// constructors of its own objects.
#include <cstdio>

#include "base/instruction_sets.h"

namespace dropforge {
constinit const InstructionSet kCompiledFor[] = {{"imaginary", 0x1000, 0, 0, 0, 0}, {nullptr, 0, 0, 0, 0, 0}};
}

namespace {
const int constructed = std::puts("a constructor ran");
}

int main() { return constructed < 0; }
