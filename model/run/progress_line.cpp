#include <sys/ioctl.h>
#include <unistd.h>

#include <cmath>

#include "base/error.h"
#include "model/run/metrics.h"

namespace dropforge {

namespace {

/// 12:34, 1:02:03 or 2d 03:04.
std::string duration(double seconds) {
    if (!(seconds >= 0 && seconds < 1e10)) return "?";  // no speed yet
    const auto total = static_cast<int64_t>(std::llround(seconds));
    const int64_t days = total / 86400, hours = total / 3600 % 24, minutes = total / 60 % 60;
    if (days > 0) return fmt::format("{}d {:02}:{:02}", days, hours, minutes);
    if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, minutes, total % 60);
    return fmt::format("{}:{:02}", minutes, total % 60);
}

/// Columns of the terminal; 80 where it doesn't say.
size_t columns(std::FILE* out) {
    winsize size{};
    return ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

std::string StepProgress::text() const {
    std::string line = fmt::format("step {}/{}  ", step, steps);
    if (std::isnan(loss)) {
        line += "no token to predict  ";
    } else {
        line += fmt::format("loss {:.2f}", loss);
        if (unigram_entropy) line += fmt::format(" (unigram {:.2f})", *unigram_entropy);
        if (accuracy) line += fmt::format("  acc {:.2f}", *accuracy);
        line += "  ";
    }
    if (nsp_accuracy) line += fmt::format("pairs {:.2f}  ", *nsp_accuracy);
    line += fmt::format("lr {:.1e}  ", lr);
    line += fmt::format("{:.{}f} seq/s", sequences_per_second, sequences_per_second < 10 ? 2 : 0);
    if (mfu) line += fmt::format("  MFU {:.0f} %", *mfu * 100);
    return line + "  ETA " + duration(seconds_left);
}

ProgressLine::ProgressLine(std::FILE* out, bool quiet) : ProgressLine(out, quiet, isatty(fileno(out)) == 1) {}

ProgressLine::ProgressLine(std::FILE* out, bool quiet, bool terminal) : out_(out), quiet_(quiet), terminal_(terminal) {}

void ProgressLine::show(const StepProgress& progress, bool log_interval) {
    if (quiet_ || (!terminal_ && !log_interval)) return;
    if (terminal_) {  // a line that wraps could not be re-written; \e[K clears what an earlier, longer one left
        put(fmt::format("\r{}\x1b[K", progress.text().substr(0, columns(out_) - 1)));
        open_ = true;
    } else {
        put(progress.text() + '\n');
    }
}

void ProgressLine::note(const std::string& text) {
    if (quiet_) return;
    finish();
    put(text + '\n');
}

/// Progress that nobody can read, since the log's disk is full, is no reason to stop.
void ProgressLine::put(const std::string& text) {
    std::fputs(text.c_str(), out_);
    std::fflush(out_);
}

void ProgressLine::finish() {
    if (!open_) return;
    put("\n");
    open_ = false;
}

}  // namespace dropforge
