#include "kernels/cuda/emulator/checks/program_file.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <link.h>

#include <array>
#include <cstdio>
#include <functional>
#include <memory>
#include <regex>

#include "base/error.h"

namespace dropforge::simt {

namespace {

/// The file that an address of this process comes from, and the offset at which it is loaded.
struct Mapped {
    std::string file;
    uintptr_t added;
};
Mapped mapped(const void* address) {
    Dl_info info;
    link_map* map = nullptr;
    const bool found = dladdr1(address, &info, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP) != 0;
    require(found, "no file of this program has the address {}", address);
    return {info.dli_fname, map->l_addr};
}

void for_each_line_of(const std::string& command, const std::function<void(const std::string&)>& f) {
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
    std::array<char, 1 << 14> buffer;
    while (pipe && std::fgets(buffer.data(), buffer.size(), pipe.get())) {
        std::string line = buffer.data();
        if (line.ends_with('\n')) line.pop_back();
        f(line);
    }
}

}  // namespace

std::string source_line(const void* site) {
    const Mapped m = mapped(site);
    const uintptr_t call = reinterpret_cast<uintptr_t>(site) - 1 - m.added;
    std::string lines;
    for_each_line_of(fmt::format(DROPFORGE_ADDR2LINE " -i -e '{}' {:#x}", m.file, call), [&](const std::string& line) {
        std::string where = line.substr(line.rfind('/') + 1);
        where = where.substr(0, where.find(' '));  // without "(discriminator N)"
        if (where.find(".cu") != std::string::npos) lines += fmt::format("{}{}", lines.empty() ? "" : " < ", where);
    });
    return lines.empty() ? "?" : lines;
}

std::map<const void*, std::string> kernels_of_program() {
    static const char inside_program = 0;
    const Mapped m = mapped(&inside_program);
    const std::regex space("dropforge::kernels::on_cuda::"),
        kernel("([0-9a-f]+) . (void )?([a-z0-9_]+_kernel(<.*>)?)\\(.*\\)");
    std::map<const void*, std::string> kernels;
    for_each_line_of(fmt::format("nm -C --defined-only '{}'", m.file), [&](const std::string& line) {
        const std::string shorter = std::regex_replace(line, space, "");
        std::smatch part;
        if (shorter.find("{lambda") != std::string::npos || !std::regex_match(shorter, part, kernel)) return;
        kernels[reinterpret_cast<const void*>(std::stoull(part[1], nullptr, 16) + m.added)] = part[3];
    });
    return kernels;
}

}  // namespace dropforge::simt
