// main() of the tests. DROPFORGE_CPU=LEVEL, which the CPU kernels obey, makes a test of one level: exit code 77 where
// the program or the machine has none such. The CUDA kernels are the same at all of them.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "kernels/cpu_level.h"

int main(int argc, char** argv) {
    using namespace dropforge::kernels;
    doctest::Context context(argc, argv);
    if (const char* wanted = std::getenv("DROPFORGE_CPU")) {
        const auto is_wanted = [&](CpuLevel level) { return std::string_view(name_of(level)) == wanted; };
        if (std::ranges::none_of(cpu_levels(), is_wanted)) {
            std::printf("skipped: there are no CPU kernels of level %s here\n", wanted);
            return 77;
        }
        context.addFilter("test-case-exclude", "*CUDA*");
    }
    return context.run();
}
