#include "base/cores.h"

#include <doctest/doctest.h>
#include <sched.h>

#include "tests/support/machine_fixture.h"

using namespace dropforge;
using test::Machine;
using test::processor;

namespace {

void allow(Machine& machine, const std::string& processors) {
    machine.file("proc/self/status", "Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t" + processors + "\n");
}

/// 2 packages of 4 cores of 2 hyper-threads: processors i and i + 8 are one core.
void sixteen_processors(Machine& machine) {
    std::string text;
    for (int i = 0; i < 16; ++i) text += processor(i, i % 8 / 4, i % 4, "avx512f");
    machine.file("proc/cpuinfo", text);
}

void in_sys(Machine& machine, int id, const std::string& siblings) {
    machine.file(fmt::format("sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", id), siblings + "\n");
}

}  // namespace

TEST_CASE("this machine: no more cores than the scheduler lets this thread run on, and fewer when it is pinned") {
    cpu_set_t before, one;
    REQUIRE(sched_getaffinity(0, sizeof before, &before) == 0);
    CHECK(usable_cores() >= 1);
    CHECK(usable_cores() <= CPU_COUNT(&before));
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++i)
        if (CPU_ISSET(i, &before)) CPU_SET(i, &one);
    REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
    CHECK(usable_cores() == 1);
    REQUIRE(sched_setaffinity(0, sizeof before, &before) == 0);
}

TEST_CASE("hyper-threads count once, with the numbers of /proc/cpuinfo or of /sys") {
    Machine machine;
    sixteen_processors(machine);
    CHECK(usable_cores(machine.root()) == 8);
    allow(machine, "0-2,8-9,15");  // 0, 1, 2 with their second threads 8 and 9, and 7's second thread
    CHECK(usable_cores(machine.root()) == 4);
    for (int i = 0; i < 16; ++i) in_sys(machine, i, fmt::format("{},{}", i % 8, i % 8 + 8));
    CHECK(usable_cores(machine.root()) == 4);
    in_sys(machine, 15, "15");  // its twin is switched off
    fs::remove_all(machine.root() / "sys/devices/system/cpu/cpu7/topology");
    allow(machine, "0-2,7-9,15");
    CHECK(usable_cores(machine.root()) == 4);
}

TEST_CASE("processors that are off do not count, though an affinity mask may name them") {
    Machine machine;
    machine.file("proc/cpuinfo", processor(0, 0, 0, "") + processor(1, 0, 1, ""));
    allow(machine, "0-127");
    CHECK(usable_cores(machine.root()) == 2);
    in_sys(machine, 0, "0");
    in_sys(machine, 1, "1");
    CHECK(usable_cores(machine.root()) == 2);
}

TEST_CASE("a container that counts its processors from 0 in /proc/cpuinfo") {
    Machine machine;
    machine.file("proc/cpuinfo", processor(0, 0, 0, "") + processor(1, 0, 1, ""));
    allow(machine, "5,7");
    in_sys(machine, 5, "5");
    in_sys(machine, 7, "7");
    CHECK(usable_cores(machine.root()) == 2);
}

TEST_CASE("a control group's quota limits them, rounded up: version 2") {
    Machine machine;
    sixteen_processors(machine);
    machine.file("proc/self/cgroup", "0::/box/job\n");
    machine.file("sys/fs/cgroup/box/job/cpu.max", "max 100000\n");
    CHECK(usable_cores(machine.root()) == 8);
    machine.file("sys/fs/cgroup/box/cpu.max", "150000 100000\n");
    CHECK(usable_cores(machine.root()) == 2);
    machine.file("sys/fs/cgroup/box/job/cpu.max", "20000 100000\n");
    CHECK(usable_cores(machine.root()) == 1);
    machine.file("sys/fs/cgroup/box/job/cpu.max", "6400000 100000\n");  // more than there is
    machine.file("sys/fs/cgroup/box/cpu.max", "max 100000\n");
    CHECK(usable_cores(machine.root()) == 8);
    machine.file("proc/self/cgroup", "0::/../elsewhere\n");  // of a container that shows only its own group
    machine.file("sys/fs/cgroup/cpu.max", "300000 100000\n");
    CHECK(usable_cores(machine.root()) == 3);
}

TEST_CASE("a control group's quota limits them, rounded up: version 1") {
    Machine machine;
    sixteen_processors(machine);
    machine.file("proc/self/cgroup", "3:cpu,cpuacct:/\n0::/\n");
    machine.file("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    machine.file("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    CHECK(usable_cores(machine.root()) == 8);
    machine.file("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "350000\n");
    CHECK(usable_cores(machine.root()) == 4);
    machine.file("proc/self/cgroup", "3:cpu,cpuacct:/docker/1\n");
    machine.file("sys/fs/cgroup/cpu/docker/1/cpu.cfs_quota_us", "50000\n");
    machine.file("sys/fs/cgroup/cpu/docker/1/cpu.cfs_period_us", "100000\n");
    CHECK(usable_cores(machine.root()) == 1);
}

TEST_CASE("what says nothing leaves one core, or no limit") {
    Machine machine;
    CHECK(usable_cores(machine.root()) == 1);
    machine.file("proc/cpuinfo", "processor : 0\nFeatures : fp\n\nprocessor : 1\nFeatures : fp\n");  // no topology
    CHECK(usable_cores(machine.root()) == 2);
    machine.file("proc/self/cgroup", "nonsense\n0::/\n");
    machine.file("sys/fs/cgroup/cpu.max", "\n");
    CHECK(usable_cores(machine.root()) == 2);
}
