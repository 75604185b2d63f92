// dropforge tokenize: for each line of text a line of pieces or ids, in bounded memory even for long lines.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "apps/commands.h"
#include "base/command_line.h"
#include "base/error.h"
#include "data/tokenizer/tokenizer_json.h"

namespace dropforge {

namespace {

struct TokenizeOptions {
    std::string vocabulary;
    data::Normalization normalization;
    bool ids = false;
};

void write_out(std::string_view text) {
    const size_t written = std::fwrite(text.data(), 1, text.size(), stdout);
    require(written == text.size(), "cannot write to stdout: {}", std::strerror(errno));
}

void flush_out() {
    const int failed = std::fflush(stdout);  // before errno is read, which the order of arguments would not promise
    require(failed == 0, "cannot write to stdout: {}", std::strerror(errno));
}

/// The vocabulary and the output options, which all threads share.
struct Printer {
    Printer(const data::Vocabulary& vocabulary, bool as_ids, bool json)
        : open(json ? "[" : ""),
          close(json ? "]\n" : "\n"),
          separator(json ? ',' : ' '),
          unk(vocabulary.special().unk) {
        for (int32_t id = 0; id < vocabulary.size(); ++id) {
            const std::string& token = vocabulary.token(id);
            names.push_back(as_ids ? std::to_string(id) : json ? nlohmann::json(token).dump() : token);
        }
    }

    std::vector<std::string> names;  // of each id
    std::string_view open, close;    // of a line
    char separator;
    int32_t unk;
};

/// Turns text into output lines. A line may come in several parts.
class LineFormatter {
  public:
    LineFormatter(const data::WordPiece& tokenizer, const Printer& printer)
        : tokenizer_(tokenizer), printer_(printer) {}

    /// Adds a part of a line, without its end.
    void add(std::string_view text) {
        ids_.clear();
        tokenizer_.encode(text, ids_);
        if (!line_is_open_) out_ += printer_.open;
        for (const int32_t id : ids_) {
            if (line_has_pieces_) out_ += printer_.separator;
            out_ += printer_.names[static_cast<size_t>(id)];
            line_has_pieces_ = true;
            unknown_ += id == printer_.unk ? 1 : 0;
        }
        line_is_open_ = true;
        pieces_ += ids_.size();
    }
    void end_line() {
        out_ += printer_.close;
        line_is_open_ = line_has_pieces_ = false;
        ++lines_;
    }
    /// Adds complete lines, each with its LF.
    void add_lines(std::string_view text) {
        for (size_t begin = 0, end; begin < text.size(); begin = end + 1) {
            end = text.find('\n', begin);
            add(text.substr(begin, end - begin));
            end_line();
        }
    }

    void write() {
        write_out(out_);
        out_.clear();
    }
    bool line_is_open() const { return line_is_open_; }
    uint64_t lines() const { return lines_; }
    uint64_t pieces() const { return pieces_; }
    uint64_t unknown() const { return unknown_; }

  private:
    data::WordPiece tokenizer_;
    const Printer& printer_;
    bool line_is_open_ = false, line_has_pieces_ = false;
    std::vector<int32_t> ids_;
    std::string out_;
    uint64_t lines_ = 0, pieces_ = 0, unknown_ = 0;
};

/// Divides complete lines among the formatters, with a thread for each where that pays, and writes the results in
/// order. The first formatter comes first, as it may hold the beginning of the first line.
void format_lines(std::string_view text, std::vector<LineFormatter>& formatters) {
    static constexpr size_t kWorthAThread = size_t{1} << 17;
    const size_t parts = std::clamp<size_t>(text.size() / kWorthAThread, 1, formatters.size());
    {
        std::vector<std::jthread> threads;
        for (size_t part = 1; part < parts; ++part) {
            const size_t end = text.find('\n', text.size() / (parts - part + 1)) + 1;  // text ends in LF
            const std::string_view share = text.substr(0, end);
            text.remove_prefix(end);
            threads.emplace_back([&formatter = formatters[part - 1], share] { formatter.add_lines(share); });
            if (text.empty()) break;
        }
        formatters[threads.size()].add_lines(text);
    }
    for (LineFormatter& formatter : formatters) formatter.write();
}

/// Appends up to `room` available bytes of stdin to `buffer`; false at its end.
bool read_more(std::string& buffer, size_t room) {
    const size_t had = buffer.size();
    buffer.resize(had + room);
    ssize_t got;
    do {
        got = read(STDIN_FILENO, buffer.data() + had, room);
    } while (got < 0 && errno == EINTR);
    require(got >= 0, "cannot read stdin: {}", std::strerror(errno));
    buffer.resize(had + static_cast<size_t>(got));
    return got > 0;
}

void tokenize(const TokenizeOptions& options, const CommonOptions& common) {
    static constexpr size_t kRoomPerThread = size_t{1} << 20, kLongLine = size_t{1} << 20;
    const data::Vocabulary vocabulary = data::load_vocabulary(options.vocabulary, options.normalization);
    const Printer printer(vocabulary, options.ids, common.json);
    const data::WordPiece tokenizer(vocabulary, options.normalization);
    const auto threads = static_cast<size_t>(thread_count(common.threads));
    std::vector<LineFormatter> formatters(threads, LineFormatter(tokenizer, printer));
    LineFormatter& first = formatters[0];
    std::string buffer;
    while (read_more(buffer, threads * kRoomPerThread)) {
        size_t done = buffer.rfind('\n') + 1;  // 0 if there is none
        format_lines(std::string_view(buffer).substr(0, done), formatters);
        if (buffer.size() - done >= kLongLine) {  // no end of line in sight: write what cannot change any more
            const std::string_view remaining = std::string_view(buffer).substr(done);
            const size_t cut = tokenizer.safe_cut(remaining) > 0 ? tokenizer.safe_cut(remaining) : remaining.size();
            first.add(remaining.substr(0, cut));
            first.write();
            done += cut;
        }
        buffer.erase(0, done);
        flush_out();
    }
    if (!buffer.empty() || first.line_is_open()) {
        first.add(buffer);
        first.end_line();
        first.write();
    }
    flush_out();
    if (common.quiet) return;
    const auto total = [&](uint64_t (LineFormatter::*figure)() const) {
        uint64_t sum = 0;
        for (const LineFormatter& formatter : formatters) sum += (formatter.*figure)();
        return sum;
    };
    fmt::print(stderr, "{} lines, {} pieces, {} of them [UNK]\n", total(&LineFormatter::lines),
               total(&LineFormatter::pieces), total(&LineFormatter::unknown));
}

}  // namespace

void add_tokenize(CLI::App& app, CommonOptions& common) {
    CLI::App& command =
        *app.add_subcommand("tokenize",
                            "Print the WordPiece tokens or ids of each line of stdin\n\n"
                            "Special tokens are neither added nor recognised. With --json every line is a JSON array.");
    command.footer(
        "Examples:\n"
        "  echo 'Attention is all you need.' | dropforge tokenize --vocab vocab.txt\n"
        "  dropforge tokenize --vocab vocab.txt --ids < text.txt > ids.txt");
    auto options = std::make_shared<TokenizeOptions>();
    command
        .add_option(
            "--vocab", options->vocabulary,
            "The vocabulary: a vocab.txt (one token a line, whose id is the line's number), or a tokenizer.json")
        ->required()
        ->type_name("FILE");
    add_normalization(command, options->normalization);
    command.add_flag("--ids", options->ids, "Print ids instead of tokens");
    add_common(command, common);
    command.callback([options, &common] { tokenize(*options, common); });
}

}  // namespace dropforge
