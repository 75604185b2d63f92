#include "tests/simt/checks/source_line.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <link.h>

#include <array>
#include <cstdio>
#include <memory>
#include <string_view>

namespace dropforge::simt {

std::string source_line(const void* site) {
    Dl_info info;
    link_map* map = nullptr;
    if (dladdr1(site, &info, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP) == 0) return "?";
    const uintptr_t in_file = reinterpret_cast<uintptr_t>(site) - 1 - map->l_addr;
    const std::string command = fmt::format("addr2line -i -e '{}' {:#x} 2>/dev/null", info.dli_fname, in_file);
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
    std::string lines;
    std::array<char, 4096> buffer;
    while (pipe && std::fgets(buffer.data(), buffer.size(), pipe.get())) {
        std::string_view line = buffer.data();
        line = line.substr(line.rfind('/') + 1);
        line = line.substr(0, line.find_first_of(" \n"));  // without "(discriminator N)"
        if (line.find(".cu") == std::string_view::npos) continue;
        lines += fmt::format("{}{}", lines.empty() ? "" : " < ", line);
    }
    return lines.empty() ? "?" : lines;
}

}  // namespace dropforge::simt
