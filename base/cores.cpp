#include "base/cores.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <string>

namespace dropforge {

int physical_cores() {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return 1;
    std::set<std::string> cores;  // a core is known by the list of its hyper-threads
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (!CPU_ISSET(cpu, &allowed)) continue;
        const std::string name = std::to_string(cpu);
        std::ifstream file("/sys/devices/system/cpu/cpu" + name + "/topology/thread_siblings_list");
        std::string siblings;
        cores.insert(std::getline(file, siblings) ? siblings : name);
    }
    return std::max(1, static_cast<int>(cores.size()));
}

}  // namespace dropforge
