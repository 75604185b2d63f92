// The exception of this project: one line that says what was expected, what came, and where.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>

namespace dropforge {

class Error : public std::runtime_error {
  public:
    explicit Error(const std::string& message) : std::runtime_error(message) {}

    template <typename... Args>
    explicit Error(fmt::format_string<Args...> format, Args&&... args)
        : std::runtime_error(fmt::format(format, std::forward<Args>(args)...)) {}
};

/// Throws Error with the formatted text unless `condition` holds.
template <typename... Args>
void require(bool condition, fmt::format_string<Args...> format, Args&&... args) {
    if (!condition) throw Error(format, std::forward<Args>(args)...);
}

}  // namespace dropforge
