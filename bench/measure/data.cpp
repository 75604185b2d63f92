// bench data: the rate of tokenization, line by line as `prepare` does it.
#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/command_line.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "bench/measure/commands.h"
#include "data/tokenizer/wordpiece.h"

namespace dropforge {

namespace {

struct DataOptions {
    std::string vocabulary;
    std::vector<std::string> paths;
    bool cased = false, json = false;
    int threads = 0;
};

struct Rate {
    int threads;
    double megabytes_per_second;  // median of the passes
    uint64_t ids;                 // of one pass
};

std::vector<MappedFile> map_files(const std::vector<std::string>& paths) {
    std::vector<fs::path> names;
    for (const fs::path path : paths) {
        if (!fs::is_directory(path)) {
            names.push_back(path);
            continue;
        }
        for (const fs::directory_entry& entry : fs::recursive_directory_iterator(path)) {
            if (entry.is_regular_file()) names.push_back(entry.path());
        }
    }
    std::ranges::sort(names);
    std::vector<MappedFile> files;
    files.reserve(names.size());
    for (const fs::path& name : names) files.emplace_back(name);
    return files;
}

/// All lines that are not blank, as views of the files.
std::vector<std::string_view> lines_of(const std::vector<MappedFile>& files) {
    std::vector<std::string_view> lines;
    for (const MappedFile& file : files) {
        const std::string_view text = file.text();
        for (size_t begin = 0, end; begin < text.size(); begin = end + 1) {
            end = std::min(text.find('\n', begin), text.size());
            const std::string_view line = text.substr(begin, end - begin);
            if (line.find_first_not_of(" \t\r") != std::string_view::npos) lines.push_back(line);
        }
    }
    return lines;
}

uint64_t encode_all(std::span<const std::string_view> lines, data::WordPiece& tokenizer) {
    uint64_t count = 0;
    std::vector<int32_t> ids;
    for (const std::string_view line : lines) {
        ids.clear();
        tokenizer.encode(line, ids);
        count += ids.size();
    }
    return count;
}

/// One pass over all lines; each thread takes an equal number of neighbouring lines.
uint64_t encode_pass(std::span<const std::string_view> lines, std::vector<data::WordPiece>& tokenizers) {
    std::vector<uint64_t> counts(tokenizers.size());
    {
        std::vector<std::jthread> threads;
        for (size_t i = 0; i < tokenizers.size(); ++i) {
            const size_t begin = lines.size() * i / tokenizers.size(), end = lines.size() * (i + 1) / tokenizers.size();
            threads.emplace_back(
                [&, i, begin, end] { counts[i] = encode_all(lines.subspan(begin, end - begin), tokenizers[i]); });
        }
    }
    uint64_t total = 0;
    for (const uint64_t count : counts) total += count;
    return total;
}

Rate measure(std::span<const std::string_view> lines, const data::WordPiece& tokenizer, int threads) {
    using Clock = std::chrono::steady_clock;
    static constexpr double kEnoughSeconds = 1.0;
    static constexpr size_t kFewestPasses = 5;
    double bytes = 0;
    for (const std::string_view line : lines) bytes += static_cast<double>(line.size());
    std::vector<data::WordPiece> tokenizers(static_cast<size_t>(threads), tokenizer);
    Rate rate{threads, 0, encode_pass(lines, tokenizers)};  // the first pass also brings the files into memory
    std::vector<double> seconds;
    for (double total = 0; total < kEnoughSeconds || seconds.size() < kFewestPasses; total += seconds.back()) {
        const auto start = Clock::now();
        encode_pass(lines, tokenizers);
        seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
    std::ranges::nth_element(seconds, seconds.begin() + static_cast<ptrdiff_t>(seconds.size() / 2));
    rate.megabytes_per_second = bytes / 1e6 / seconds[seconds.size() / 2];
    return rate;
}

void bench_data(const DataOptions& options) {
    const std::vector<MappedFile> files = map_files(options.paths);
    const std::vector<std::string_view> lines = lines_of(files);
    require(!lines.empty(), "no text in {} files", files.size());
    uint64_t bytes = 0;
    for (const std::string_view line : lines) bytes += line.size();
    const data::WordPiece tokenizer(data::Vocabulary::load(options.vocabulary),
                                    options.cased ? data::kCased : data::kUncased);
    std::vector<Rate> rates = {measure(lines, tokenizer, 1)};
    const int threads = thread_count(options.threads);
    if (threads > 1) rates.push_back(measure(lines, tokenizer, threads));
    if (options.json) {
        nlohmann::json result = {
            {"files", files.size()}, {"lines", lines.size()}, {"bytes", bytes}, {"ids", rates[0].ids}};
        for (const Rate& rate : rates) {
            result["tokenizer"].push_back(
                {{"threads", rate.threads}, {"megabytes_per_second", rate.megabytes_per_second}});
        }
        fmt::print("{}\n", json_text(result));
        return;
    }
    fmt::print("{} files, {} lines, {:.1f} MB, {} ids\n", files.size(), lines.size(), static_cast<double>(bytes) / 1e6,
               rates[0].ids);
    for (const Rate& rate : rates)
        fmt::print("tokenizer, {:2} threads: {:8.1f} MB/s\n", rate.threads, rate.megabytes_per_second);
}

}  // namespace

void add_data(CLI::App& app) {
    CLI::App& command = *app.add_subcommand("data", "Measure the tokenizer in MB/s, on one thread and on all");
    command.footer(fmt::format("Example: {} data --vocab vocab.txt --text corpus/", app.get_name()));
    auto options = std::make_shared<DataOptions>();
    command.add_option("--vocab", options->vocabulary, "The vocabulary, a vocab.txt")->required()->type_name("FILE");
    command.add_option("--text", options->paths, "Text files, or folders of them")->required()->type_name("PATH");
    command.add_flag("--cased", options->cased, "Keep upper case and accents, for a cased vocabulary");
    add_threads(command, options->threads);
    command.add_flag("--json", options->json, "Print one JSON object on stdout");
    command.callback([options] { bench_data(*options); });
}

}  // namespace dropforge
