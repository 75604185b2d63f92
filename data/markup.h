// Markdown and HTML to plain text, streaming: bytes in, text out, memory bounded whatever comes. Not a renderer: what a
// reader of the page would read stays, what a browser or editor would hide goes.
#pragma once

#include <string>
#include <string_view>

namespace dropforge::data {

class MarkupStripper {
  public:
    virtual ~MarkupStripper() = default;
    /// Appends the text of `bytes` to `out`; a construct may go on in the next call.
    virtual void feed(std::string_view bytes, std::string& out) = 0;
    /// The input is over: appends what was held back.
    virtual void finish(std::string& out) = 0;
};

/// Tags, comments, declarations and the contents of script and style go; block tags become line ends; character
/// references become characters.
class HtmlStripper : public MarkupStripper {
  public:
    void feed(std::string_view bytes, std::string& out) override;
    void finish(std::string& out) override;

  private:
    enum class State {
        text,
        reference,
        tag_open,
        tag_name,
        tag,
        attribute_value,
        quoted,
        declaration,
        comment,
        hidden
    };
    /// One step; false if the byte must be seen again in the new state.
    bool step(char c, std::string& out);
    void end_tag_name(std::string& out);
    void end_tag();
    void end_reference(std::string& out, bool with_semicolon);

    State state_ = State::text;
    std::string name_;  // of a tag or reference, cut at kLongestName; in a hidden element: the last bytes
    std::string hidden_until_;
    char quote_ = 0;
    int dashes_ = 0;
};

/// Marks of headings, lists, quotes, emphasis, code, tables, links (their text stays, the address goes) and images (the
/// description stays), then HTML inside. Code stays as it is. Works on lines; a line longer than 64 KB is taken in
/// parts, so a link across the border keeps its marks.
class MarkdownStripper : public MarkupStripper {
  public:
    void feed(std::string_view bytes, std::string& out) override;
    void finish(std::string& out) override;

  private:
    void line(std::string_view text, std::string& out);
    void inline_text(std::string_view text, std::string& out);

    HtmlStripper html_;
    std::string line_;
    std::string fence_;       // the mark that ends the code block that we are in; else empty
    bool continued_ = false;  // line_ is not a line's start
};

}  // namespace dropforge::data
