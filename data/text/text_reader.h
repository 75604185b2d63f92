// A reader of text files as a stream of pieces of about a megabyte, in bounded memory.
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

/// The end of a document in plain text. A Markdown or HTML file is one document, in which blank lines separate
/// paragraphs; in JSON Lines each object is one.
enum class DocumentBreak { blank_line, file };

struct ReadOptions {
    DocumentBreak breaks = DocumentBreak::blank_line;
    std::string json_key = "text";  // of the text in JSON Lines
};

/// A piece of one file's text without markup, which ends where the tokenizer can be interrupted.
struct TextPiece {
    std::string text;                // the text; of a page its source, until make_text()
    const TextFile* page = nullptr;  // the file with markup whose complete text this is; owned by the reader
    std::string_view document_end;   // the separator of documents in the text; empty: none
    bool ends_file = false;          // whether a document ends with the piece
    uint64_t bytes = 0;              // bytes read for it, before markup was stripped
    uint64_t invalid_bytes = 0;      // bytes of these that were not UTF-8 and have been replaced
    uint64_t position = 0;           // bytes on the disk, over all files, up to its end
    LeftOut left_out;                // lines without text, or the page itself
};

/// Turns a piece into UTF-8 text without markup: the part of the work that any thread can do. Error that names the file
/// for a page that was given by its path and exceeds the parsers' limits.
void make_text(TextPiece& piece);

class TextReader {
  public:
    TextReader(std::vector<TextFile> files, ReadOptions options, size_t piece_bytes = size_t{1} << 20);

    /// Reads the next piece, for make_text() to complete; false after the last. Every file has at least one. Error that
    /// names the file.
    bool next(TextPiece& piece);

    /// Notes for the user about the files that were read to their end.
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

/// The part of a piece that belongs to one document.
struct DocumentPart {
    std::string_view text;
    bool ends = false;  // whether the document ends here; else it continues in the next piece
};

/// Splits a piece into its documents; the first part may continue a document of the previous piece. The last part has
/// ends = piece.ends_file.
void split_documents(const TextPiece& piece, std::vector<DocumentPart>& parts);

}  // namespace dropforge::data
