#include "data/text/text_reader.h"

#include <algorithm>
#include <utility>

#include "data/tokenizer/basic_tokenizer.h"

namespace dropforge::data {

namespace {

constexpr std::string_view kSpaces = " \t\r\n";  // ASCII white space of BERT's tokenizer: words end there
constexpr std::string_view kBlankLine = "\n\n";  // as PlainLines gives it

bool is_space(char c) { return kSpaces.find(c) != std::string_view::npos; }

/// A run of white space as briefly as possible: what counts is whether it holds a blank line, or a line's end.
void shorten_spaces(std::string& text) {
    text = text.find(kBlankLine) != std::string::npos ? kBlankLine : text.find('\n') != std::string::npos ? "\n" : " ";
}

// Where to cut a text, which is not all white space: before white space after something else, so that a blank line
// stays in one piece; else where the tokenizer allows; else between two characters.
size_t cut(std::string_view text) {
    const size_t space = text.find_last_of(kSpaces);
    const size_t word = space == std::string_view::npos ? space : text.find_last_not_of(kSpaces, space);
    if (word != std::string_view::npos) return word + 1;
    // Where every tokenizer allows it: with fewer switches on, fewer places are.
    const size_t safe = BasicTokenizer({false, false, false}).safe_cut(text);
    if (safe > 0) return safe;
    size_t at = text.size();
    for (int back = 0; back < 4 && at > 1 && (static_cast<unsigned char>(text[at - 1]) & 0xC0) == 0x80; ++back) --at;
    if (static_cast<unsigned char>(text[at - 1]) >= 0xC0 && at > 1)
        --at;  // the character may continue in the next bytes
    return at;
}

}  // namespace

TextReader::TextReader(std::vector<TextFile> files, ReadOptions options, size_t piece_bytes)
    : files_(std::move(files)),
      options_(std::move(options)),
      piece_bytes_(piece_bytes),
      chunk_(std::min(piece_bytes, size_t{1} << 17)) {}

void TextReader::open() {
    const TextFile& file = files_[file_];
    source_ = open_bytes(file.path, file.codec);
    lines_ = nullptr;
    if (file.format == TextFormat::plain) lines_ = std::make_unique<PlainLines>();
    if (file.format == TextFormat::json_lines)
        lines_ = std::make_unique<JsonLines>(file.path, options_.json_key, left_out_);
    at_start_ = more_ = true;
}

void TextReader::close() {
    notes_.insert(notes_.end(), source_->notes().begin(), source_->notes().end());
    finished_bytes_ += files_[file_].size;
    source_ = nullptr;
    ++file_;
    text_.clear();
    given_out_ = 0;
}

// One more chunk of the file; false at its end.
bool TextReader::fill() {
    text_.erase(0, std::exchange(given_out_, 0));
    const size_t count = source_->read(chunk_.data(), chunk_.size());
    std::string_view bytes(chunk_.data(), count);
    bytes_ += count;
    if (at_start_ && bytes.starts_with("\xEF\xBB\xBF")) bytes.remove_prefix(3);  // byte order mark
    at_start_ = false;
    if (lines_ == nullptr) return fill_from_page(bytes);
    lines_->feed(bytes, text_);
    if (count == 0) lines_->finish(text_);
    return count > 0;
}

// A page is parsed at once. One that is longer than a piece is parsed here, so that its text can be divided into
// pieces.
bool TextReader::fill_from_page(std::string_view bytes) {
    page_ += bytes;
    if (!bytes.empty() && page_.size() <= kLongestMarkup) return true;
    if (page_.size() <= piece_bytes_) return false;
    TextPiece page;
    page.text = std::exchange(page_, {});
    page.page = &files_[file_];
    make_text(page);
    text_ = std::move(page.text);
    invalid_bytes_ = page.invalid_bytes;
    left_out_.add(page.left_out);
    return false;
}

std::string_view TextReader::document_end() const {
    const TextFormat format = files_[file_].format;
    if (format == TextFormat::json_lines) return JsonLines::kDocumentMark;
    return format == TextFormat::plain && options_.breaks == DocumentBreak::blank_line ? kBlankLine
                                                                                       : std::string_view();
}

bool TextReader::next(TextPiece& piece) {
    if (source_ == nullptr) {
        if (file_ == files_.size()) return false;
        open();
    }
    while (more_ && left().size() < piece_bytes_) {
        more_ = fill();
        if (text_.size() >= piece_bytes_ && std::ranges::all_of(text_, is_space)) shorten_spaces(text_);
    }
    piece.page = page_.empty() ? nullptr : &files_[file_];
    if (piece.page != nullptr) piece.text = std::exchange(page_, {});
    piece.ends_file = piece.page != nullptr || take_text(piece);
    piece.document_end = document_end();
    piece.bytes = std::exchange(bytes_, 0);
    piece.invalid_bytes = std::exchange(invalid_bytes_, 0);
    piece.position = finished_bytes_ + source_->position();
    piece.left_out = std::exchange(left_out_, {});
    if (piece.ends_file) close();
    return true;
}

// Up to a piece of what was read; true if nothing of the file is left.
bool TextReader::take_text(TextPiece& piece) {
    // A long line of JSON, or a page, may have come at once.
    const std::string_view window = left().substr(0, piece_bytes_ + chunk_.size());
    const bool is_last = !more_ && window.size() == left().size();
    piece.text = window.substr(0, is_last ? window.size() : cut(window));
    given_out_ += piece.text.size();
    return is_last;
}

void make_text(TextPiece& piece) {
    piece.invalid_bytes += replace_invalid_utf8(piece.text);  // before the parsers make of it what they like
    if (piece.page == nullptr) return;
    const TextFile& file = *std::exchange(piece.page, nullptr);
    std::string source = std::exchange(piece.text, {});
    try {
        piece.text = file.format == TextFormat::html ? html_text(std::move(source)) : markdown_text(source);
    } catch (const MarkupLimit& limit) {
        if (file.named) throw Error("{}: {}", file.path.string(), limit.what());
        piece.left_out.add(Reason::too_complex, fmt::format("{} ({})", file.path.string(), limit.what()));
    }
}

void split_documents(const TextPiece& piece, std::vector<DocumentPart>& parts) {
    parts.clear();
    std::string_view text = piece.text;
    if (!piece.document_end.empty()) {
        for (size_t end; (end = text.find(piece.document_end)) != std::string_view::npos;) {
            parts.push_back({text.substr(0, end), true});
            text.remove_prefix(end + piece.document_end.size());
        }
    }
    parts.push_back({text, piece.ends_file});
}

}  // namespace dropforge::data
