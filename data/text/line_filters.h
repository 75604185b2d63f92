// The lines of plain text and of JSON Lines to a stream of documents, in bounded memory.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/file.h"
#include "data/text/left_out.h"

namespace dropforge::data {

class LineFilter {
  public:
    virtual ~LineFilter() = default;
    /// Appends what `bytes`, the next of a file, have of text; the last line may go on in the next call.
    virtual void feed(std::string_view bytes, std::string& out) = 0;
    /// The file is over.
    virtual void finish(std::string& out) = 0;
};

/// Lines as Python's text mode reads them and BERT's own preparation takes them: they end in LF, CR LF or CR, white
/// space before them is no part of them, and one is blank if it has nothing else (Unicode's white space included). All
/// end in LF here, and blank lines after each other are one.
class PlainLines : public LineFilter {
  public:
    void feed(std::string_view bytes, std::string& out) override;
    void finish(std::string& out) override;

  private:
    void take(std::string_view bytes, std::string& out);
    void end_line(std::string& out);

    std::string held_;   // the first bytes of a character
    int line_ends_ = 2;  // in a row; there is nothing to end before the first line
    bool at_start_ = true, after_cr_ = false;
};

/// A document a line: the string that the key of the line's object has, a line end, and kDocumentMark. Throws Error
/// with file and line for what is no object, or has something else than a string there. Lines whose object lacks the
/// key, or has null there, are left out and counted; but if it lacks in the first object of a file, that is an error
/// too.
class JsonLines : public LineFilter {
  public:
    /// A byte that BERT's tokenizer drops wherever it is, so that none is missed in the text.
    static constexpr std::string_view kDocumentMark{"\0", 1};
    static constexpr size_t kLongestLine = size_t{1} << 26;

    JsonLines(fs::path path, std::string key, LeftOut& left_out);
    ~JsonLines() override;

    void feed(std::string_view bytes, std::string& out) override;
    void finish(std::string& out) override;

  private:
    class Parser;
    void end_line(std::string& out);
    void take_object(std::string& out);

    fs::path path_;
    std::string key_;
    LeftOut& left_out_;
    std::unique_ptr<Parser> parser_;
    std::string line_;
    uint64_t number_ = 1;
    bool first_ = true;
};

}  // namespace dropforge::data
