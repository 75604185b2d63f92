// Text files as a stream of pieces of about a megabyte, in bounded memory whatever the files hold.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/text/line_filters.h"
#include "data/text/markup.h"
#include "data/text/text_files.h"
#include "data/text/utf8.h"

namespace dropforge::data {

/// Where documents end in plain text. Markdown and HTML files are one document each: there, blank lines part
/// paragraphs. In JSON Lines each object is one.
enum class DocumentBreak { blank_line, file };

struct ReadOptions {
    DocumentBreak breaks = DocumentBreak::blank_line;
    std::string json_key = "text";  // of the text in JSON Lines
};

/// Part of one file's text without markup, cut where the tokenizer may be cut.
struct TextPiece {
    std::string text;                // of a page: its source, until make_text()
    const TextFile* page = nullptr;  // a whole file with markup; the reader's own
    std::string_view document_end;   // what ends a document inside of the text and is no part of it; empty: nothing
    bool ends_file = false;          // a document ends here
    uint64_t bytes = 0;              // read for it, before markup was stripped
    uint64_t invalid_bytes = 0;      // of these, not UTF-8, and replaced already
    uint64_t position = 0;           // bytes on the disk, of all files, up to here
    LeftOut left_out;                // lines without text, or the page itself
};

/// Makes UTF-8 text without markup of what was read: the part of the work that any thread can do. Throws Error naming
/// the file for a page that was given by its path and is more than the parsers should be given.
void make_text(TextPiece& piece);

class TextReader {
  public:
    TextReader(std::vector<TextFile> files, ReadOptions options, size_t piece_bytes = size_t{1} << 20);

    /// Fills the next piece, for make_text() to finish; false after the last. Every file gives at least one. Throws
    /// Error naming the file.
    bool next(TextPiece& piece);

    /// What a user should know of the files that were read to their end.
    const std::vector<std::string>& notes() const { return notes_; }

  private:
    void open();
    void close();
    bool fill();
    bool fill_from_page(std::string_view bytes);
    std::string_view left() const { return std::string_view(text_).substr(given_out_); }
    std::string_view document_end() const;
    bool take_text(TextPiece& piece);

    std::vector<TextFile> files_;
    ReadOptions options_;
    size_t piece_bytes_, file_ = 0;
    std::unique_ptr<ByteSource> source_;  // null between files
    std::unique_ptr<LineFilter> lines_;   // null for a file with markup
    std::string page_;                    // the source of such a file
    std::string text_;                    // without markup
    size_t given_out_ = 0;
    std::vector<char> chunk_;
    uint64_t bytes_ = 0, invalid_bytes_ = 0, finished_bytes_ = 0;
    bool at_start_ = true, more_ = true;  // of the file
    LeftOut left_out_;
    std::vector<std::string> notes_;
};

/// Part of a piece that belongs to one document.
struct DocumentPart {
    std::string_view text;
    bool ends = false;  // the document is over; else it goes on in the next piece
};

/// Cuts a piece into its documents; the first part goes on with what the piece before has left open. The last part has
/// ends = piece.ends_file.
void split_documents(const TextPiece& piece, std::vector<DocumentPart>& parts);

}  // namespace dropforge::data
