// Progress on stderr: one redrawn line on a terminal, a line every 30 s elsewhere, nothing when quiet.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace dropforge {

enum class ProgressUnit { count, bytes };

class Progress {
  public:
    /// `what` is the line's label; `total` is 0 if unknown. Whether `out` is a terminal decides the style.
    Progress(std::string what, uint64_t total, ProgressUnit unit, bool quiet, std::FILE* out = stderr);
    /// Ends the line if finish() was not called, so that an error begins on its own.
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    /// Sets how much is done; `note`, e.g. "loss 5.31", ends the line. Cheap: draws at most 5 times a second, or every
    /// 30 s. For one thread.
    void update(uint64_t done, std::string_view note = {});
    /// Draws the last state and ends the line.
    void finish(std::string_view note = {});

    /// The line without control characters, after `seconds`: "tokenize [####....]  41 %  1.2 of 3.0 GB  85 MB/s  ETA
    /// 0:21  note".
    std::string line(uint64_t done, double seconds, std::string_view note) const;

  private:
    using Clock = std::chrono::steady_clock;
    void draw(uint64_t done, std::string_view note, Clock::time_point now);

    std::string what_;
    uint64_t total_, done_ = 0;
    ProgressUnit unit_;
    std::FILE* out_;
    bool quiet_, terminal_, open_line_ = false;
    Clock::time_point begin_, next_;
};

/// "1:02:03" or "2:03".
std::string clock_text(double seconds);

}  // namespace dropforge
