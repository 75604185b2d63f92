// Runs the real bench and catches what it prints.
#pragma once

#include <doctest/doctest.h>
#include <sys/wait.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

namespace dropforge::test {

struct Outcome {
    int exit_code;
    std::string text;  // stdout and stderr
};

inline Outcome bench(const std::string& arguments) {
    FILE* pipe = popen((DROPFORGE_BIN "/bench " + arguments + " 2>&1").c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::string text;
    for (int c = 0; (c = std::fgetc(pipe)) != EOF;) text += static_cast<char>(c);
    return {WEXITSTATUS(pclose(pipe)), text};
}

/// The object that it prints with --json.
inline nlohmann::json bench_json(const std::string& arguments) {
    const Outcome outcome = bench(arguments + " --json");
    REQUIRE_MESSAGE(outcome.exit_code == 0, outcome.text);
    return nlohmann::json::parse(outcome.text);
}

}  // namespace dropforge::test
