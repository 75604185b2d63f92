#include "base/system_files.h"

#include <fmt/format.h>

#include <charconv>
#include <fstream>
#include <iterator>
#include <sstream>

namespace dropforge {

namespace {

std::string trimmed(const std::string& text) {
    const size_t first = text.find_first_not_of(" \t\n"), last = text.find_last_not_of(" \t\n");
    return first == text.npos ? "" : text.substr(first, last - first + 1);
}

}  // namespace

std::string system_text(const fs::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::optional<int64_t> first_number(const std::string& text) {
    int64_t value = 0;
    const std::string digits = trimmed(text);
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return result.ec == std::errc() ? std::optional(value) : std::nullopt;
}

std::map<std::string, std::string> system_fields(const std::string& text) {
    std::map<std::string, std::string> result;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
        if (const size_t colon = line.find(':'); colon != line.npos)
            result.emplace(trimmed(line.substr(0, colon)), trimmed(line.substr(colon + 1)));
    return result;
}

std::vector<fs::path> control_groups(const fs::path& root, const std::string& controller) {
    std::istringstream lines(system_text(root / "proc/self/cgroup"));  // "4:memory:/a/b" or "0::/a/b"
    for (std::string line; std::getline(lines, line);) {
        const size_t first = line.find(':'), second = line.find(':', first + 1);
        if (first == line.npos || second == line.npos) continue;
        const std::string names = fmt::format(",{},", line.substr(first + 1, second - first - 1));
        if (names.find(fmt::format(",{},", controller)) == names.npos) continue;
        const fs::path mount = root / "sys/fs/cgroup" / controller;
        std::vector<fs::path> folders;
        // In a container the path may be the host's while the mount shows only the container's own group.
        for (fs::path path = fs::path(line.substr(second + 1)).relative_path(); !path.empty();
             path = path.parent_path())
            folders.push_back(mount / path);
        folders.push_back(mount);
        return folders;
    }
    return {};
}

}  // namespace dropforge
