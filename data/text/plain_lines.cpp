#include <algorithm>

#include "data/text/line_filters.h"
#include "data/text/utf8.h"

namespace dropforge::data {

namespace {

/// Where the next line of a text ends, whichever of LF and CR it is; each is searched for once only.
class LineEnds {
  public:
    explicit LineEnds(std::string_view text) : text_(text), lf_(text.find('\n')), cr_(text.find('\r')) {}

    /// At or after `at`, which never falls; else the text's end.
    size_t next(size_t at) {
        if (lf_ < at) lf_ = text_.find('\n', at);
        if (cr_ < at) cr_ = text_.find('\r', at);
        return std::min({lf_, cr_, text_.size()});
    }

  private:
    std::string_view text_;
    size_t lf_, cr_;
};

}  // namespace

void PlainLines::feed(std::string_view bytes, std::string& out) {
    if (held_.empty()) return take(bytes, out);
    const std::string joined = held_.append(bytes);
    held_.clear();
    take(joined, out);
}

void PlainLines::take(std::string_view bytes, std::string& out) {
    LineEnds ends(bytes);
    for (size_t at = 0; at < bytes.size();) {
        const char c = bytes[at];
        if (c == '\n' || c == '\r') {
            if (c == '\r' || !after_cr_) end_line(out);
            after_cr_ = c == '\r';
            ++at;
            continue;
        }
        after_cr_ = false;
        if (at_start_) {
            size_t size = 0;
            const Space space = white_space(bytes.substr(at), size);
            if (space == Space::cut_short) {
                held_ = bytes.substr(at);
                return;
            }
            if (space == Space::yes) {
                at += size;
                continue;
            }
        }
        const size_t end = ends.next(at);
        out += bytes.substr(at, end - at);
        at = end;
        at_start_ = false;
        line_ends_ = 0;
    }
}

void PlainLines::end_line(std::string& out) {
    at_start_ = true;
    if (line_ends_ == 2) return;
    out += '\n';
    ++line_ends_;
}

void PlainLines::finish(std::string& out) { out += held_; }

}  // namespace dropforge::data
