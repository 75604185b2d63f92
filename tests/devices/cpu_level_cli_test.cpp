// The levels of the CPU kernels: what a machine has, what DROPFORGE_CPU takes, and what a run says of it.
#include "kernels/cpu_level.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "tests/support/pretrain_fixture.h"
#include "tests/support/shell.h"

namespace dropforge::test {
namespace {

using namespace kernels;

/// DROPFORGE_CPU for the commands that run meanwhile.
class Asking {
  public:
    explicit Asking(const char* level) { setenv("DROPFORGE_CPU", level, 1); }
    ~Asking() { unsetenv("DROPFORGE_CPU"); }
};

TEST_CASE("levels ascend from the baseline, each has kernels of its own, and the highest serves") {
    const auto levels = cpu_levels();
    REQUIRE(!levels.empty());
    CHECK(levels[0] == CpuLevel::baseline);
    CHECK(std::ranges::adjacent_find(levels, std::greater_equal()) == levels.end());
    for (const CpuLevel level : levels) CHECK(cpu(level).name == std::string("cpu ") + name_of(level));
    CHECK(cpu_level() == levels.back());
    CHECK(&cpu() == &cpu(levels.back()));
}

TEST_CASE("DROPFORGE_CPU takes a level that the machine has; another is an error that names what it has") {
    const std::string has = name_of(cpu_levels().back());
    for (const char* level : {"sse9", "AVX2", "avx512 "}) {
        const Asking asking(level);
        check_refused({"--version"}, 1,
                      {fmt::format("DROPFORGE_CPU={}: there is no such level", level), "baseline", has});
    }
    for (const char* level : {"baseline", "avx2", "avx512", "avx512_bf16", "amx_bf16"}) {
        const auto same = [&](CpuLevel chosen) { return std::string(name_of(chosen)) == level; };
        const Asking asking(level);
        if (std::ranges::any_of(cpu_levels(), same))
            CHECK(contains(run_command({"--version"}).out, fmt::format("CPU kernels   {} of baseline", level)));
        else
            check_refused({"--version"}, 1, {fmt::format("DROPFORGE_CPU={}: this CPU lacks that level", level), has});
    }
    const Asking asking("");  // as if it were not there
    CHECK(contains(run_command({"--version"}).out, fmt::format("CPU kernels   {}\n", has)));
}

TEST_CASE("a run says its level, and one that goes on with another says that too") {
    if (cpu_levels().size() == 1) return;
    const Place place;
    const std::string has = name_of(cpu_levels().back());
    CHECK(contains(succeed(place.command(2)).error, "kernels for " + has));
    const Asking asking("baseline");
    const std::string text = succeed(place.command(3)).error;
    CHECK(contains(text, "kernels for baseline of baseline"));
    CHECK(contains(text, fmt::format("written by kernels for cpu {}, these are for cpu baseline", has)));
}

}  // namespace
}  // namespace dropforge::test
