#include "engine/device.h"

#include <doctest/doctest.h>

#include <cstring>
#include <fstream>

#include "engine/buffer.h"
#include "temporary_folder.h"

using namespace dropforge;

namespace {

/// A tree of /proc and /sys of some machine.
class Machine {
  public:
    void file(const std::string& path, const std::string& text) {
        fs::create_directories((folder_ / path).parent_path());
        std::ofstream(folder_ / path) << text;
    }
    const fs::path& root() const { return folder_.path(); }

  private:
    TemporaryFolder folder_;
};

std::string cpu(int id, int package, int core, const std::string& flags) {
    return fmt::format(
        "processor\t: {}\nmodel name\t: Test CPU 9\nphysical id\t: {}\ncore id\t\t: {}\nflags\t\t: fpu {} sse\n\n", id,
        package, core, flags);
}

constexpr int64_t kMiB = 1 << 20;
const std::string kMeminfo = "MemTotal:       1048576 kB\nMemFree:         1000 kB\nMemAvailable:    524288 kB\n";

}  // namespace

TEST_CASE("this machine: plausible figures") {
    const CpuInfo cpu = cpu_info();
    CHECK(cpu.physical_cores >= 1);
    CHECK(cpu.physical_cores <= 4096);
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

TEST_CASE("cores: hyper-threads count once, the affinity mask and the quota limit them") {
    Machine machine;
    std::string text;
    for (int i = 0; i < 16; ++i) text += cpu(i, i % 8 / 4, i % 4, "avx512f");  // 2 packages × 4 cores × 2 threads
    machine.file("proc/cpuinfo", text);
    CHECK(cpu_info(machine.root()).physical_cores == 8);
    CHECK(cpu_info(machine.root()).model == "Test CPU 9");
    machine.file("proc/self/status", "Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t0-2,8-9,15\n");
    CHECK(cpu_info(machine.root()).physical_cores ==
          4);  // 0, 1, 2 with their second threads 8 and 9, and 7's second thread
    machine.file("proc/self/cgroup", "0::/box/job\n");
    machine.file("sys/fs/cgroup/box/cpu.max", "150000 100000\n");
    machine.file("sys/fs/cgroup/box/job/cpu.max", "max 100000\n");
    CHECK(cpu_info(machine.root()).physical_cores == 2);
    machine.file("proc/self/cgroup", "3:cpu,cpuacct:/\n0::/\n");
    machine.file("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    machine.file("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    CHECK(cpu_info(machine.root()).physical_cores == 4);
    machine.file("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
    CHECK(cpu_info(machine.root()).physical_cores == 1);
}

TEST_CASE("a CPU without model name and topology") {
    Machine arm;
    arm.file("proc/cpuinfo", "processor : 0\nFeatures : fp asimd bf16\n\nprocessor : 1\nFeatures : fp asimd bf16\n");
    CHECK(cpu_info(arm.root()).physical_cores == 2);
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
    CHECK(cpu_info(machine.root() / "nowhere").physical_cores == 1);
}
