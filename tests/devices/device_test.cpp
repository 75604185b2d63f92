#include "devices/device.h"

#include <doctest/doctest.h>

#include <cstring>

#include "base/cores.h"
#include "engine/buffer.h"
#include "tests/support/machine_fixture.h"

using namespace dropforge;
using test::Machine;
using test::processor;

namespace {

constexpr int64_t kMiB = 1 << 20;
const std::string kMeminfo = "MemTotal:       1048576 kB\nMemFree:         1000 kB\nMemAvailable:    524288 kB\n";

}  // namespace

TEST_CASE("this machine: plausible figures") {
    const CpuInfo cpu = cpu_info();
    CHECK(cpu.cores == usable_cores());
    CHECK_FALSE(cpu.model.empty());
    const MemoryInfo memory = memory_info();
    CHECK(memory.total >= 64 * kMiB);
    CHECK(memory.available > 0);
    CHECK(memory.available <= memory.total);
    CHECK(peak_rss_bytes() <= memory.total);
}

TEST_CASE("peak memory grows by what is touched, and stays when it is freed") {
    const int64_t before = peak_rss_bytes();
    CHECK(before > kMiB);
    {
        Buffer buffer(256 * kMiB);
        std::memset(buffer.as(), 1, static_cast<size_t>(buffer.bytes()));
    }
    const int64_t grown = peak_rss_bytes() - before;
    CHECK(grown >= 200 * kMiB);  // the process may have been above its present size before
    CHECK(grown <= 300 * kMiB);
}

TEST_CASE("a CPU with its name, and one without name and topology") {
    Machine machine;
    machine.file("proc/cpuinfo", processor(0, 0, 0, "") + processor(1, 0, 1, ""));
    CHECK(cpu_info(machine.root()).cores == 2);
    CHECK(cpu_info(machine.root()).model == "Test CPU 9");
    Machine arm;
    arm.file("proc/cpuinfo", "processor : 0\nFeatures : fp asimd bf16\n\nprocessor : 1\nFeatures : fp asimd bf16\n");
    CHECK(cpu_info(arm.root()).cores == 2);
    CHECK(cpu_info(arm.root()).model == "unknown CPU");
}

TEST_CASE("memory: the tightest control group counts, with its file cache as available") {
    Machine machine;
    machine.file("proc/meminfo", kMeminfo);
    CHECK(memory_info(machine.root()).total == 1024 * kMiB);
    CHECK(memory_info(machine.root()).available == 512 * kMiB);

    machine.file("proc/self/cgroup", "0::/box/job\n");
    machine.file("sys/fs/cgroup/box/job/memory.max", "max\n");
    machine.file("sys/fs/cgroup/box/memory.max", fmt::format("{}\n", 256 * kMiB));
    machine.file("sys/fs/cgroup/box/memory.current", fmt::format("{}\n", 200 * kMiB));
    machine.file("sys/fs/cgroup/box/memory.stat", fmt::format("anon 1\ninactive_file {}\nactive_file 3\n", 50 * kMiB));
    CHECK(memory_info(machine.root()).total == 256 * kMiB);
    CHECK(memory_info(machine.root()).available == 106 * kMiB);

    Machine old;  // version 1, the host's path in a container: only the mount is there
    old.file("proc/meminfo", kMeminfo);
    old.file("proc/self/cgroup", "5:cpu:/docker/1\n4:memory:/docker/1\n");
    old.file("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    old.file("sys/fs/cgroup/memory/memory.usage_in_bytes", "1000000\n");
    CHECK(memory_info(old.root()).total == 1024 * kMiB);
    CHECK(memory_info(old.root()).available == 512 * kMiB);
    old.file("sys/fs/cgroup/memory/memory.limit_in_bytes", fmt::format("{}\n", 100 * kMiB));
    CHECK(memory_info(old.root()).total == 100 * kMiB);
    CHECK(memory_info(old.root()).available == 100 * kMiB - 1000000);

    CHECK(memory_info(machine.root() / "nowhere").total == 0);
    CHECK(cpu_info(machine.root() / "nowhere").cores == 1);
}
