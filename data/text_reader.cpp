#include "data/text_reader.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "base/error.h"
#include "data/basic_tokenizer.h"

namespace dropforge::data {

namespace {

constexpr const char* kKinds = ".txt, .md or .html, also with .gz or .zst";
constexpr std::string_view kSpaces = " \t\r\n";  // ASCII white space of BERT's tokenizer: words end there

std::optional<TextFile> text_file(const fs::path& path) {
    TextFile file{path};
    fs::path name = path.filename();
    std::string extension = name.extension().string();
    if (extension == ".gz" || extension == ".zst") {
        file.codec = extension == ".gz" ? Codec::gzip : Codec::zstd;
        name = name.stem();
        extension = name.extension().string();
        if (extension.empty()) extension = ".txt";  // corpus.gz
    }
    if (extension == ".md" || extension == ".markdown") {
        file.format = TextFormat::markdown;
    } else if (extension == ".html" || extension == ".htm") {
        file.format = TextFormat::html;
    } else if (extension != ".txt") {
        return std::nullopt;
    }
    return file;
}

void add_file(TextFile file, std::vector<TextFile>& files) {
    struct stat status {};
    require(stat(file.path.c_str(), &status) == 0, "{}: {}", file.path.string(), std::strerror(errno));
    file.size = static_cast<uint64_t>(status.st_size);
    file.modified = int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
    files.push_back(std::move(file));
}

void add_folder(const fs::path& folder, std::vector<TextFile>& files) {
    std::vector<TextFile> found;
    std::error_code error;
    fs::recursive_directory_iterator entry(folder, error), end;
    for (; !error && entry != end; entry.increment(error)) {
        if (entry->path().filename().string().starts_with('.')) {
            entry.disable_recursion_pending();
            continue;
        }
        std::error_code ignored;  // a link to nowhere is no file
        if (!entry->is_regular_file(ignored)) continue;
        if (std::optional<TextFile> file = text_file(entry->path())) add_file(std::move(*file), found);
    }
    require(!error, "{}: cannot list: {}", folder.string(), error.message());
    std::ranges::sort(found, {}, [](const TextFile& file) { return file.path.string(); });
    std::ranges::move(found, std::back_inserter(files));
}

bool is_space(char c) { return kSpaces.find(c) != std::string_view::npos; }

/// A run of white space as briefly as possible: what counts is whether it holds a blank line, or a line's end.
void shorten_spaces(std::string& text) {
    const auto lines = std::ranges::count(text, '\n');
    text = lines >= 2 ? "\n\n" : lines == 1 ? "\n" : " ";
}

/// Where to cut `text`, which is not all white space in a plain file: before white space after something else, so that
/// a blank line stays in one piece; else where the tokenizer allows; else between two characters.
size_t cut(std::string_view text) {
    const size_t space = text.find_last_of(kSpaces);
    const size_t word = space == std::string::npos ? space : text.find_last_not_of(kSpaces, space);
    if (word != std::string::npos) return word + 1;
    const size_t safe = BasicTokenizer(true).safe_cut(text);
    if (safe > 0) return safe;
    size_t at = text.size();
    for (int back = 0; back < 4 && at > 1 && (static_cast<unsigned char>(text[at - 1]) & 0xC0) == 0x80; ++back) --at;
    if (static_cast<unsigned char>(text[at - 1]) >= 0xC0 && at > 1) --at;  // the character may go on in what follows
    return at;
}

}  // namespace

std::vector<TextFile> list_text_files(std::span<const fs::path> paths) {
    std::vector<TextFile> files;
    std::string names;
    for (const fs::path& path : paths) {
        names += (names.empty() ? "" : ", ") + path.string();
        std::error_code error;
        const fs::file_status status = fs::status(path, error);
        require(fs::exists(status), "{}: {}", path.string(), error ? error.message() : "No such file or directory");
        if (fs::is_directory(status)) {
            add_folder(path, files);
            continue;
        }
        std::optional<TextFile> file = text_file(path);
        require(file.has_value(), "{}: not a kind of text that can be read: {}", path.string(), kKinds);
        require(fs::is_regular_file(status), "{}: not a regular file", path.string());
        add_file(std::move(*file), files);
    }
    require(!files.empty(), "{}: no text files ({})", names, kKinds);
    return files;
}

TextReader::TextReader(std::vector<TextFile> files, DocumentBreak breaks, size_t piece_bytes)
    : files_(std::move(files)),
      breaks_(breaks),
      piece_bytes_(piece_bytes),
      chunk_(std::min(piece_bytes, size_t{1} << 17)) {}

void TextReader::open() {
    source_ = open_bytes(files_[file_].path, files_[file_].codec);
    at_start_ = true;
    read_ = false;
}

// One more chunk of the file; false at its end.
bool TextReader::fill() {
    const size_t count = source_->read(chunk_.data(), chunk_.size());
    std::string_view bytes(chunk_.data(), count);
    bytes_ += count;
    if (at_start_) {
        require(!bytes.starts_with("\xFF\xFE") && !bytes.starts_with("\xFE\xFF"),
                "{}: the text is UTF-16, expected UTF-8 (iconv converts it)", files_[file_].path.string());
        if (bytes.starts_with("\xEF\xBB\xBF")) bytes.remove_prefix(3);  // byte order mark
    }
    at_start_ = false;
    if (files_[file_].format == TextFormat::plain) {
        text_ += bytes;
    } else if (count > 0) {
        markup_ += bytes;
        if (markup_.size() > kLongestMarkup) markup_text();  // refuses it
    } else {
        markup_text();
    }
    return count > 0;
}

// The text of a whole file with markup.
void TextReader::markup_text() {
    std::string source = std::exchange(markup_, {});
    invalid_bytes_ = replace_invalid_utf8(source);  // as what the parsers would make of it is their own affair
    try {
        text_ = files_[file_].format == TextFormat::html ? html_text(source) : markdown_text(source);
    } catch (const MarkupLimit& limit) {
        throw MarkupLimit("{}: {}", files_[file_].path.string(), limit.what());
    }
}

bool TextReader::next(TextPiece& piece) {
    if (source_ == nullptr) {
        if (file_ == files_.size()) return false;
        open();
    }
    while (!read_ && text_.size() < piece_bytes_) {
        read_ = !fill();
        if (text_.size() >= piece_bytes_ && std::ranges::all_of(text_, is_space)) shorten_spaces(text_);
    }
    const size_t longest = piece_bytes_ + chunk_.size();  // only a file with markup has more
    const bool more = !read_ || text_.size() > longest;
    const size_t end = more ? cut(std::string_view(text_).substr(0, longest)) : text_.size();
    piece.text.assign(text_, 0, end);
    text_.erase(0, end);
    piece.blank_line_breaks = breaks_ == DocumentBreak::blank_line && files_[file_].format == TextFormat::plain;
    piece.ends_file = !more;
    piece.bytes = std::exchange(bytes_, 0);
    piece.invalid_bytes = std::exchange(invalid_bytes_, 0);
    piece.position = finished_bytes_ + source_->position();
    if (!more) {
        finished_bytes_ += files_[file_].size;
        source_ = nullptr;
        ++file_;
    }
    return true;
}

namespace {

/// Length of the valid UTF-8 character at p, or 0; then `bad` is the length of the maximal part that is wrong. (Unicode
/// 15, table 3-7.)
size_t character(const unsigned char* p, size_t left, size_t& bad) {
    const unsigned char lead = p[0];
    bad = 1;
    if (lead < 0x80) return 1;
    const size_t length = lead >= 0xC2 && lead <= 0xDF   ? 2
                          : lead >= 0xE0 && lead <= 0xEF ? 3
                          : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                         : 0;
    if (length == 0) return 0;
    for (size_t i = 1; i < length; ++i) {
        unsigned char low = 0x80,
                      high = 0xBF;  // overlong forms, surrogates and what is above U+10FFFF begin with these:
        if (i == 1 && lead == 0xE0) low = 0xA0;
        if (i == 1 && lead == 0xED) high = 0x9F;
        if (i == 1 && lead == 0xF0) low = 0x90;
        if (i == 1 && lead == 0xF4) high = 0x8F;
        if (i >= left || p[i] < low || p[i] > high) return 0;
        bad = i + 1;
    }
    return length;
}

/// Where the first invalid part begins; text.size() if there is none.
size_t valid_prefix(std::string_view text, size_t from, size_t& bad) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
    while (from < text.size()) {
        uint64_t eight;
        if (from + sizeof eight <= text.size()) {  // most text is ASCII
            std::memcpy(&eight, bytes + from, sizeof eight);
            if ((eight & 0x8080808080808080) == 0) {
                from += sizeof eight;
                continue;
            }
        }
        const size_t length = character(bytes + from, text.size() - from, bad);
        if (length == 0) return from;
        from += length;
    }
    return from;
}

}  // namespace

uint64_t replace_invalid_utf8(std::string& text) {
    size_t bad = 0, valid = valid_prefix(text, 0, bad);
    if (valid == text.size()) return 0;
    std::string repaired(text, 0, valid);
    uint64_t replaced = 0;
    while (valid < text.size()) {
        repaired += "\xEF\xBF\xBD";
        replaced += bad;
        const size_t from = valid + bad;
        valid = valid_prefix(text, from, bad);
        repaired.append(text, from, valid - from);
    }
    text = std::move(repaired);
    return replaced;
}

void split_documents(const TextPiece& piece, std::vector<DocumentPart>& parts) {
    parts.clear();
    const std::string_view text = piece.text;
    size_t begin = 0;
    if (piece.blank_line_breaks) {
        for (size_t line_end = text.find('\n'); line_end != std::string_view::npos;) {
            const size_t next = text.find_first_not_of(" \t\r", line_end + 1);
            if (next == std::string_view::npos) break;
            if (text[next] != '\n') {
                line_end = text.find('\n', next);
                continue;
            }
            parts.push_back({text.substr(begin, line_end - begin), true});
            begin = next + 1;
            line_end = text.find('\n', begin);
        }
    }
    parts.push_back({text.substr(begin), piece.ends_file});
}

}  // namespace dropforge::data
