#include "base/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace dropforge {

namespace {

constexpr auto kRedraw = std::chrono::milliseconds(200);
constexpr auto kPlainLine = std::chrono::seconds(30);

std::string amount(double value, ProgressUnit unit) {
    if (unit == ProgressUnit::count) return fmt::format("{:.0f}", value);
    constexpr std::array<const char*, 4> kNames = {"B", "KB", "MB", "GB"};
    size_t i = 0;
    for (; i + 1 < kNames.size() && value >= 1000; ++i) value /= 1000;
    return fmt::format("{:.{}f} {}", value, value < 100 && i > 0 ? 1 : 0, kNames[i]);
}

}  // namespace

Progress::Progress(std::string what, uint64_t total, ProgressUnit unit, bool quiet, std::FILE* out)
    : what_(std::move(what)),
      total_(total),
      unit_(unit),
      out_(out),
      quiet_(quiet),
      terminal_(isatty(fileno(out)) == 1) {
    begin_ = Clock::now();
    next_ = begin_ + (terminal_ ? Clock::duration(kRedraw) : Clock::duration(kPlainLine));
}

Progress::~Progress() {
    if (open_line_) std::fputs("\n", out_);
}

void Progress::update(uint64_t done, std::string_view note) {
    done_ = done;
    if (quiet_) return;
    const Clock::time_point now = Clock::now();
    if (now < next_) return;
    next_ = now + (terminal_ ? Clock::duration(kRedraw) : Clock::duration(kPlainLine));
    draw(done, note, now);
}

void Progress::finish(std::string_view note) {
    if (quiet_) return;
    draw(total_ > 0 ? total_ : done_, note, Clock::now());
    if (open_line_) std::fputs("\n", out_);
    open_line_ = false;
}

void Progress::draw(uint64_t done, std::string_view note, Clock::time_point now) {
    const std::string text = line(done, std::chrono::duration<double>(now - begin_).count(), note);
    if (terminal_) {
        std::fputs(fmt::format("\r{}\x1b[K", text).c_str(), out_);  // and clear what a longer line has left
        open_line_ = true;
    } else {
        std::fputs((text + '\n').c_str(), out_);
    }
    std::fflush(out_);
}

std::string Progress::line(uint64_t done, double seconds, std::string_view note) const {
    std::string text = what_;
    const auto count = static_cast<double>(done);
    const double rate = seconds > 0 ? count / seconds : 0;
    if (total_ > 0) {
        constexpr size_t kWidth = 20;
        const double share = std::min(1.0, count / static_cast<double>(total_));
        const auto filled = static_cast<size_t>(share * kWidth);
        text += fmt::format(" [{}{}] {:3.0f} %", std::string(filled, '#'), std::string(kWidth - filled, '.'),
                            std::floor(100 * share));
        text += fmt::format("  {} of {}", amount(count, unit_), amount(static_cast<double>(total_), unit_));
    } else {
        text += "  " + amount(count, unit_);
    }
    if (unit_ == ProgressUnit::bytes) {
        text += fmt::format("  {}/s", amount(rate, unit_));
    } else {
        text += fmt::format("  {:.{}f}/s", rate, rate < 10 ? 2 : 0);
    }
    if (total_ > done && rate > 0) {
        text += "  ETA " + clock_text(static_cast<double>(total_ - done) / rate);
    } else {
        text += "  " + clock_text(seconds);
    }
    if (!note.empty()) text += fmt::format("  {}", note);
    return text;
}

std::string clock_text(double seconds) {
    const auto rounded = static_cast<int64_t>(std::min(seconds, 1e9) + 0.5);
    const int64_t hours = rounded / 3600, minutes = rounded / 60 % 60;
    if (hours == 0) return fmt::format("{}:{:02}", minutes, rounded % 60);
    return fmt::format("{}:{:02}:{:02}", hours, minutes, rounded % 60);
}

}  // namespace dropforge
