#include "base/cores.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <sstream>
#include <string>

#include "base/system_files.h"

namespace dropforge {

namespace {

/// The numbers in a list such as "0-3,8".
std::set<int64_t> numbers(const std::string& list) {
    std::set<int64_t> all;
    std::istringstream parts(list);
    for (std::string part; std::getline(parts, part, ',');) {
        const size_t dash = part.find('-');
        const int64_t first = first_number(part).value_or(0);
        const int64_t last = dash == part.npos ? first : first_number(part.substr(dash + 1)).value_or(-1);
        for (int64_t number = first; number <= last; ++number) all.insert(number);
    }
    return all;
}

/// Number of cores by their lists of hyper-threads. An offline processor has no list, though the affinity mask may have
/// it.
std::set<std::string> cores_in_sys(const fs::path& root, const std::set<int64_t>& allowed) {
    std::set<std::string> cores;
    for (const int64_t id : allowed)
        cores.insert(system_text(root / fmt::format("sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", id)));
    cores.erase("");
    return cores;
}

/// Number of cores by their ids in /proc/cpuinfo, for systems without /sys, such as a bare chroot.
std::set<std::string> cores_in_proc(const fs::path& root, const std::set<int64_t>& allowed) {
    std::set<std::string> cores;
    std::istringstream lines(system_text(root / "proc/cpuinfo"));
    std::string block;  // of one processor; an empty line ends it
    const auto take = [&] {
        auto processor = system_fields(block);
        block.clear();
        const auto id = first_number(processor["processor"]);
        if (!id || (!allowed.empty() && !allowed.contains(*id))) return;
        cores.insert(fmt::format("{} {}", processor["physical id"],
                                 processor.contains("core id") ? processor["core id"] : processor["processor"]));
    };
    for (std::string line; std::getline(lines, line); block += line + '\n')
        if (line.empty()) take();
    take();
    return cores;
}

/// The control groups' quota in processors; infinite if unlimited.
double quota(const fs::path& root) {
    double least = std::numeric_limits<double>::infinity();
    const auto limit = [&](std::optional<int64_t> time, std::optional<int64_t> period) {
        if (time && period && *time > 0 && *period > 0)
            least = std::min(least, static_cast<double>(*time) / static_cast<double>(*period));
    };
    for (const fs::path& folder : control_groups(root, "")) {  // cpu.max: "200000 100000" or "max 100000"
        const std::string text = system_text(folder / "cpu.max");
        limit(first_number(text), first_number(text.substr(std::min(text.size(), text.find(' ')))));
    }
    for (const fs::path& folder : control_groups(root, "cpu"))
        limit(first_number(system_text(folder / "cpu.cfs_quota_us")),
              first_number(system_text(folder / "cpu.cfs_period_us")));
    return least;
}

}  // namespace

int usable_cores(const fs::path& root) {
    const auto allowed = numbers(system_fields(system_text(root / "proc/self/status"))["Cpus_allowed_list"]);
    auto cores = cores_in_sys(root, allowed);
    if (cores.empty()) cores = cores_in_proc(root, allowed);
    return static_cast<int>(std::max(1.0, std::min(static_cast<double>(cores.size()), std::ceil(quota(root)))));
}

}  // namespace dropforge
