#include "apps/line_reader.h"

namespace dropforge {

LineReader::LineReader(const fs::path& path)
    : source_(data::open_bytes(path == "-" ? fs::path("/dev/stdin") : path, data::Codec::none)) {}

bool LineReader::next(std::string& line) {
    size_t end = text_.find('\n', searched_);
    while (end == std::string::npos && fill()) end = text_.find('\n', searched_);
    if (end == std::string::npos && begin_ == text_.size()) return false;
    line = text_.substr(begin_, end - begin_);
    if (line.ends_with('\r')) line.pop_back();
    begin_ = searched_ = end == std::string::npos ? text_.size() : end + 1;
    return true;
}

/// Reads on; false at the end.
bool LineReader::fill() {
    constexpr size_t kPiece = size_t{1} << 20;
    text_.erase(0, begin_);
    begin_ = 0;
    searched_ = text_.size();
    text_.resize(searched_ + kPiece);
    text_.resize(searched_ + source_->read(text_.data() + searched_, kPiece));
    return text_.size() > searched_;
}

}  // namespace dropforge
