// Filters that turn lines of plain text and of JSON Lines into a stream of documents, in bounded memory.
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
    /// Appends the text of `bytes`, the next of a file, to the output; the last line may continue in the next call.
    virtual void feed(std::string_view bytes, std::string& out) = 0;
    /// Ends the file.
    virtual void finish(std::string& out) = 0;
};

/// Lines of plain text as Python's text mode and BERT's own preparation read them: they end in LF, CR LF or CR; leading
/// white space is dropped; a line of only white space (Unicode's included) is blank. The output's lines end in LF, and
/// consecutive blank lines become one.
class PlainLines : public LineFilter {
  public:
    void feed(std::string_view bytes, std::string& out) override;
    void finish(std::string& out) override;

  private:
    void take(std::string_view bytes, std::string& out);
    void end_line(std::string& out);

    std::string held_;   // the first bytes of an incomplete character
    int line_ends_ = 2;  // consecutive line ends written; 2 before the first line, so that none is written there
    bool at_start_ = true, after_cr_ = false;
};

/// JSON Lines: each line's object is a document. Writes the string of its key, a line end and kDocumentMark. Error with
/// file and line for a line that is no object, or whose key has another value than a string. Lines whose object lacks
/// the key, or has null, are left out and counted; but it is an Error if the first object of a file lacks it.
class JsonLines : public LineFilter {
  public:
    /// The end of a document: a byte that BERT's tokenizer drops, so that text cannot need it.
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
