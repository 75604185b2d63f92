// The subcommands of dropforge: each function adds one to the command line, with a callback that runs it.
#pragma once

#include <CLI/CLI.hpp>
#include <array>
#include <functional>
#include <string>
#include <vector>

#include "data/tokenizer/normalization.h"

namespace dropforge {

/// Options of all subcommands.
struct CommonOptions {
    bool quiet = false, json = false;
    int threads = 0;  // of --threads
    std::vector<std::string> command_line;
};

/// Sets the number of OpenMP threads to that of --threads, or its default.
void use_threads(const CommonOptions& common);
void add_common(CLI::App& command, CommonOptions& common);

/// Prints notes for the user to stderr, unless --quiet.
void print_notes(const std::vector<std::string>& notes, const CommonOptions& common);
/// Adds the switches of the tokenizer: --cased, and those that override its usual ones.
void add_normalization(CLI::App& command, data::Normalization& normalization);

inline constexpr std::array kPrecisionNames{"f32", "bf16", "fp16"};  // of the DTypes in which models are computed

/// Adds an option whose value is one of `names`; `now` is the index of the default.
CLI::Option* add_names(CLI::App& command, const std::string& flag, const std::vector<const char*>& names, size_t now,
                       const std::function<void(size_t chosen)>& assign, const std::string& help);

/// Adds an option for an enum, whose names are in its order.
template <typename Enum, size_t n>
CLI::Option* add_choice(CLI::App& command, const std::string& flag, Enum& value,
                        const std::array<const char*, n>& names, const std::string& help) {
    return add_names(
        command, flag, {names.begin(), names.end()}, static_cast<size_t>(value),
        [&value](size_t chosen) { value = static_cast<Enum>(chosen); }, help);
}

void add_prepare(CLI::App& app, CommonOptions& common);
void add_tokenize(CLI::App& app, CommonOptions& common);
void add_parity(CLI::App& app, CommonOptions& common);
void add_pretrain(CLI::App& app, CommonOptions& common);
void add_inspect(CLI::App& app, CommonOptions& common);
void add_embed(CLI::App& app, CommonOptions& common);
void add_fill(CLI::App& app, CommonOptions& common);
void add_evaluate(CLI::App& app, CommonOptions& common);
void add_curve(CLI::App& app, CommonOptions& common);
void add_finetune(CLI::App& app, CommonOptions& common);
void add_score(CLI::App& app, CommonOptions& common);
void add_predict(CLI::App& app, CommonOptions& common);
void add_metrics(CLI::App& app, CommonOptions& common);
void add_report(CLI::App& app, CommonOptions& common);
void add_look(CLI::App& app, CommonOptions& common);
void add_export(CLI::App& app, CommonOptions& common);

}  // namespace dropforge
