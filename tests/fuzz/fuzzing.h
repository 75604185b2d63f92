// What the fuzzers share. An input is refused with an Error, or what it says is held to rules that any input obeys: all
// else (another exception, a sanitizer's finding, a rule that is broken) ends the program, and libFuzzer keeps the
// input.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string_view>

#include "base/error.h"
#include "tests/support/temporary_folder.h"

namespace dropforge::fuzzing {

inline std::string_view text_of(const uint8_t* data, size_t size) {
    return {reinterpret_cast<const char*>(data), size};
}

/// A folder for the files of this process.
inline const fs::path& folder() {
    static const TemporaryFolder folder;
    return folder.path();
}

/// Without the sync of write_text: it is called a thousand times a second.
inline fs::path write(const fs::path& name, std::string_view text) {
    const fs::path path = folder() / name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
}

/// A rule that every input which was taken obeys.
inline void hold(bool rule, const char* what) {
    if (rule) return;
    std::fprintf(stderr, "broken: %s\n", what);
    std::abort();
}

/// Whether `action` took its input; an Error is how it refuses one.
template <typename Action>
bool taken(const Action& action) {
    try {
        action();
    } catch (const Error&) {
        return false;
    }
    return true;
}

}  // namespace dropforge::fuzzing
