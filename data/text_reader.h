// Text files as a stream of pieces of about a megabyte, in bounded memory whatever the files hold.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "data/byte_source.h"
#include "data/markup.h"

namespace dropforge::data {

enum class TextFormat { plain, markdown, html };

/// Where documents end in plain text. Markdown and HTML files are one document each: there, blank lines part
/// paragraphs.
enum class DocumentBreak { blank_line, file };

struct TextFile {
    fs::path path;
    TextFormat format = TextFormat::plain;
    Codec codec = Codec::none;
    uint64_t size = 0;  // on the disk
    int64_t modified = 0;
};

/// The files that `paths` name, in that order; folders give all theirs, subfolders included (names that begin with a
/// dot are left out), sorted by path. Known: .txt .md .markdown .html .htm, and these or no other ending before .gz or
/// .zst. Throws Error for a path that is missing, unreadable or of another kind, and if there is no file at all.
std::vector<TextFile> list_text_files(std::span<const fs::path> paths);

/// Part of one file's text without markup, cut where the tokenizer may be cut.
struct TextPiece {
    std::string text;
    bool blank_line_breaks = false;  // a blank line ends a document
    bool ends_file = false;          // a document ends here
    uint64_t bytes = 0;              // read for it, before markup was stripped
    uint64_t invalid_bytes = 0;      // of these, not UTF-8, and replaced already
    uint64_t position = 0;           // bytes on the disk, of all files, up to here
};

class TextReader {
  public:
    TextReader(std::vector<TextFile> files, DocumentBreak breaks, size_t piece_bytes = size_t{1} << 20);

    /// Fills the next piece; false after the last. Every file gives at least one. Throws Error naming the file.
    bool next(TextPiece& piece);

  private:
    void open();
    bool fill();
    void markup_text();

    std::vector<TextFile> files_;
    DocumentBreak breaks_;
    size_t piece_bytes_, file_ = 0;
    std::unique_ptr<ByteSource> source_;  // null between files
    std::string markup_;                  // of a file with markup, until all of it is read
    std::string text_;                    // without markup, not yet given out
    std::vector<char> chunk_;
    uint64_t bytes_ = 0, invalid_bytes_ = 0, finished_bytes_ = 0;
    bool at_start_ = true, read_ = false;  // read: the file is, to its end
};

/// Replaces what is not UTF-8 by U+FFFD, one for each maximal part of a character (as the Unicode standard recommends).
/// Returns the bytes replaced.
uint64_t replace_invalid_utf8(std::string& text);

/// Part of a piece that belongs to one document.
struct DocumentPart {
    std::string_view text;
    bool ends = false;  // the document is over; else it goes on in the next piece
};

/// Cuts a piece into its documents; the first part goes on with what the piece before has left open. The last part has
/// ends = piece.ends_file.
void split_documents(const TextPiece& piece, std::vector<DocumentPart>& parts);

}  // namespace dropforge::data
