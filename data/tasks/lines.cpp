#include "data/tasks/lines.h"

#include "base/error.h"
#include "data/text/byte_source.h"
#include "data/text/utf8.h"

namespace dropforge::tasks {

namespace {

std::string standard_input() {
    static constexpr size_t kPiece = size_t{1} << 20;
    const auto source = data::open_bytes("/dev/stdin", data::Codec::none);
    std::string text;
    for (size_t got = kPiece; got > 0;) {
        const size_t had = text.size();
        text.resize(had + kPiece);
        got = source->read(text.data() + had, kPiece);
        text.resize(had + got);
    }
    return text;
}

}  // namespace

std::string read_valid_text(const fs::path& path) {
    static constexpr std::string_view kMark = "\xEF\xBB\xBF";
    std::string text = path == "-" ? standard_input() : read_text(path);
    data::replace_invalid_utf8(text);
    if (text.starts_with(kMark)) text.erase(0, kMark.size());
    require(!text.empty(), "{}: empty", path.string());
    return text;
}

std::string_view stripped(std::string_view text) {
    size_t size = 0;
    while (!text.empty() && data::white_space(text, size) == data::Space::yes) text.remove_prefix(size);
    size_t end = 0;  // of what is no white space
    for (size_t at = 0; at < text.size(); at += size)
        if (data::white_space(text.substr(at), size) != data::Space::yes) end = at + size;
    return text.substr(0, end);
}

}  // namespace dropforge::tasks
