#include "data/line_filters.h"
#include "data/utf8.h"

namespace dropforge::data {

void PlainLines::feed(std::string_view bytes, std::string& out) {
    if (held_.empty()) return take(bytes, out);
    const std::string joined = held_.append(bytes);
    held_.clear();
    take(joined, out);
}

void PlainLines::take(std::string_view bytes, std::string& out) {
    while (!bytes.empty()) {
        const char c = bytes.front();
        if (c == '\n' || c == '\r') {
            if (c == '\r' || !after_cr_) end_line(out);
            after_cr_ = c == '\r';
            bytes.remove_prefix(1);
            continue;
        }
        after_cr_ = false;
        if (at_start_) {
            size_t size = 0;
            const Space space = white_space(bytes, size);
            if (space == Space::cut_short) {
                held_ = bytes;
                return;
            }
            if (space == Space::yes) {
                bytes.remove_prefix(size);
                continue;
            }
        }
        const std::string_view line = bytes.substr(0, bytes.find_first_of("\r\n"));
        out += line;
        bytes.remove_prefix(line.size());
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
