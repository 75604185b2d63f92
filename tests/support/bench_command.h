// Runs the real bench and catches what it prints.
#pragma once

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/paths.h"
#include "tests/support/shell.h"

namespace dropforge::test {

inline Outcome bench(const std::string& arguments) { return run_shell(std::string(kPrograms) + "/bench " + arguments); }

/// The object that it prints with --json.
inline nlohmann::json bench_json(const std::string& arguments) {
    const Outcome outcome = bench(arguments + " --json");
    REQUIRE_MESSAGE(outcome.exit_code == 0, outcome.text);
    return nlohmann::json::parse(outcome.text);
}

}  // namespace dropforge::test
