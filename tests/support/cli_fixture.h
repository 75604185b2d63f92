// What the tests of the training commands share: data prepared by the real command, runs of a tiny model, and a check
// of how a command refuses.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <map>
#include <string>
#include <vector>

#include "tests/support/command.h"

namespace dropforge::test {

using Arguments = std::vector<std::string>;

inline Arguments operator+(Arguments a, const Arguments& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

/// Sentences of 60 made-up words, some far more frequent than others, in `count` documents. Seeds have other words.
inline std::string made_up_text(size_t count, uint64_t seed) {
    static constexpr const char* kSyllables[] = {"ba", "ne", "ti", "lo", "mu", "ra", "ke", "shi", "dor", "van"};
    PhiloxStream random(seed, 0);
    std::string text;
    for (size_t document = 0; document < count; ++document) {
        for (uint32_t words = 20 + random.below(40); words > 0; --words) {
            const uint32_t word = std::min(random.below(60), random.below(60));
            text += fmt::format("{}{}{}{}", kSyllables[word % 10], kSyllables[(word / 10 + seed) % 10],
                                word % 3 == 0 ? "s" : "", words == 1 ? ".\n\n" : " ");
        }
    }
    return text;
}

/// Writes text into `folder`/text.txt and prepares it as `folder`/data with a vocabulary of `size` tokens.
inline fs::path prepare_data(const fs::path& folder, size_t documents = 400, int size = 120, uint64_t seed = 1) {
    fs::create_directories(folder);
    write_text(folder / "text.txt", made_up_text(documents, seed));
    const CommandResult result = run_command({"prepare", "--quiet", "--text", (folder / "text.txt").string(), "--out",
                                              (folder / "data").string(), "--train-vocab", std::to_string(size),
                                              "--validation-fraction", "0.1"});
    REQUIRE_MESSAGE(result.exit_code == 0, result.error);
    return folder / "data";
}

/// pretrain of a model with two layers of 32, dropout on, in two micro-batches.
inline Arguments pretrain_arguments(const fs::path& data, const fs::path& out, int64_t steps) {
    Arguments arguments = {"pretrain", "bert-tiny",  "--data",  data.string(),
                           "--out",    out.string(), "--steps", std::to_string(steps)};
    for (const char* setting : {"model.hidden=32", "model.max_positions=64", "data.sequence=32", "train.batch=4",
                                "train.micro_batch=2", "train.warmup_steps=2"})
        arguments = arguments + Arguments{"--set", setting};
    return arguments;
}

inline std::string joined(const Arguments& arguments) {
    std::string text;
    for (const std::string& argument : arguments) text += argument + ' ';
    return text;
}

/// The result of a command that must not fail.
inline CommandResult succeed(const Arguments& arguments) {
    CommandResult result = run_command(arguments);
    REQUIRE_MESSAGE(result.exit_code == 0, joined(arguments), result.error);
    return result;
}

/// Checks that the command prints nothing on stdout and ends its stderr with the one line "error: …" that holds all
/// `parts`.
inline std::string check_refused(const Arguments& arguments, int code, std::initializer_list<std::string> parts) {
    const CommandResult result = run_command(arguments);
    const std::string command = joined(arguments);
    CAPTURE(command);
    CAPTURE(result.error);
    CHECK(result.exit_code == code);
    CHECK(result.out == "");
    const size_t begin = result.error.find("error: ");
    REQUIRE(begin != std::string::npos);
    CHECK((begin == 0 || result.error[begin - 1] == '\n'));
    const std::string line = result.error.substr(begin);
    CHECK(line.find('\n') == line.size() - 1);
    for (const std::string& part : parts) CHECK_MESSAGE(contains(line, part), part);
    return line;
}

/// Flips one bit of a file's byte.
inline void flip_bit(const fs::path& path, uint64_t offset) {
    std::string bytes = read_text(path);
    REQUIRE(offset < bytes.size());
    bytes[offset] = static_cast<char>(bytes[offset] ^ 4);
    write_text(path, bytes);
}

inline void truncate(const fs::path& path, uint64_t bytes_less) {
    fs::resize_file(path, fs::file_size(path) - bytes_less);
}

/// Name → contents of every file below a folder, to see that nothing changed; without a run's .lock, which holds the
/// process id of the last.
inline std::map<std::string, std::string> files_below(const fs::path& folder) {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(folder))
        if (entry.is_regular_file() && entry.path().filename() != ".lock")
            files[entry.path().string()] = read_text(entry.path());
    return files;
}

}  // namespace dropforge::test
