// simdjson would parse faster still, but Debian has it as a shared library only, which packages for other machines
// cannot use; nlohmann's parser takes 18 times as long as RapidJSON on lines of text.
#ifdef __SSE2__
#define RAPIDJSON_SSE2
#endif
#include <rapidjson/error/en.h>
#include <rapidjson/reader.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/error.h"
#include "data/text/line_filters.h"

namespace dropforge::data {

namespace {

enum class Value { missing, null, string, other };

/// RapidJSON's handler for a line: keeps the value of the key, the last one if there are several.
class KeyHandler : public rapidjson::BaseReaderHandler<rapidjson::UTF8<>, KeyHandler> {
  public:
    explicit KeyHandler(std::string_view key) : key_(key) {}

    bool Default() { return take(Value::other); }
    bool Null() { return take(Value::null); }
    bool RawNumber(const char*, rapidjson::SizeType, bool) { return take(Value::other); }
    bool String(const char* text, rapidjson::SizeType size, bool) {
        if (is_key_) string_ = {text, size};
        return take(Value::string);
    }
    bool Key(const char* text, rapidjson::SizeType size, bool) {
        const std::string_view key(text, size);
        is_key_ = depth_ == 1 && key == key_;
        if (depth_ == 1 && keys_.size() < kKeysNamed) keys_.push_back(key);
        return true;
    }
    bool StartObject() {
        is_object_ |= depth_ == 0;
        return open();
    }
    bool StartArray() { return open(); }
    bool EndObject(rapidjson::SizeType) { return close(); }
    bool EndArray(rapidjson::SizeType) { return close(); }

    bool is_object() const { return is_object_; }
    Value value() const { return value_; }
    std::string_view string() const { return string_; }
    const std::vector<std::string_view>& keys() const { return keys_; }

  private:
    static constexpr size_t kKeysNamed = 8;
    static constexpr int64_t kDeepest = 1000;  // the parser recurses as deep as this lets it

    bool take(Value value) {
        if (is_key_) value_ = value;
        is_key_ = false;
        return true;
    }
    bool open() {
        take(Value::other);
        return ++depth_ <= kDeepest;
    }
    bool close() {
        --depth_;
        return true;
    }

    std::string_view key_, string_;
    std::vector<std::string_view> keys_;
    Value value_ = Value::missing;
    int64_t depth_ = 0;
    bool is_key_ = false, is_object_ = false;
};

/// The code unit of an escape \uXXXX at `at`; -1 if there is none.
int unit_at(std::string_view text, size_t at) {
    if (at + 6 > text.size() || text[at] != '\\' || text[at + 1] != 'u') return -1;
    int unit = 0;
    for (const char c : text.substr(at + 2, 4)) {
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0) return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

/// Half of a surrogate pair without the other half stands for no character: its escape becomes that of U+FFFD.
void replace_lone_surrogates(std::string& line) {
    for (size_t at = line.find('\\'); at != std::string::npos && at + 1 < line.size();) {
        const int unit = unit_at(line, at);
        const bool high = unit >= 0xD800 && unit < 0xDC00, low = unit >= 0xDC00 && unit < 0xE000;
        const int next = high ? unit_at(line, at + 6) : -1;
        const bool pair = next >= 0xDC00 && next < 0xE000;
        if ((high && !pair) || low) line.replace(at, 6, "\\uFFFD");
        at = line.find('\\', at + (pair ? 12 : unit >= 0 ? 6 : 2));
    }
}

}  // namespace

class JsonLines::Parser {
  public:
    /// Unescapes strings where they stand in `line`, to which it adds zeros.
    rapidjson::ParseResult parse(std::string& line, KeyHandler& handler) {
        using namespace rapidjson;
        constexpr unsigned kFlags = kParseInsituFlag | kParseNumbersAsStringsFlag | kParseNanAndInfFlag;
        constexpr size_t kReadAtOnce = 16;
        line.append(kReadAtOnce, '\0');  // what ends the line for it; it may read that far beyond the first
        InsituStringStream stream(line.data());
        return reader_.Parse<kFlags>(stream, handler);
    }

  private:
    rapidjson::Reader reader_;
};

JsonLines::JsonLines(fs::path path, std::string key, LeftOut& left_out)
    : path_(std::move(path)), key_(std::move(key)), left_out_(left_out), parser_(std::make_unique<Parser>()) {}

JsonLines::~JsonLines() = default;

void JsonLines::feed(std::string_view bytes, std::string& out) {
    while (!bytes.empty()) {
        const size_t end = bytes.find('\n');
        line_ += bytes.substr(0, end);
        require(line_.size() <= kLongestLine, "{}: line {}: longer than {} bytes", path_.string(), number_,
                kLongestLine);
        if (end == std::string_view::npos) return;
        end_line(out);
        bytes.remove_prefix(end + 1);
    }
}

void JsonLines::finish(std::string& out) {
    if (!line_.empty()) end_line(out);
}

void JsonLines::end_line(std::string& out) {
    if (line_.find_first_not_of(" \t\r") != std::string::npos) take_object(out);
    line_.clear();
    ++number_;
}

void JsonLines::take_object(std::string& out) {
    const auto fail = [&](const std::string& reason) {
        throw Error("{}: line {}: {}", path_.string(), number_, reason);
    };
    if (line_.find('\0') != std::string::npos) fail("not JSON: it has a byte that is 0");
    replace_lone_surrogates(line_);
    KeyHandler handler(key_);
    const rapidjson::ParseResult result = parser_->parse(line_, handler);
    if (result.Code() == rapidjson::kParseErrorTermination) fail("nested too deeply");
    if (result.IsError())
        fail(fmt::format("not JSON: byte {}: {}", result.Offset() + 1, rapidjson::GetParseError_En(result.Code())));
    if (!handler.is_object()) fail("expected a JSON object");
    const Value value = handler.value();
    if (value == Value::other) fail(fmt::format("the value of '{}' is not a string", key_));
    if (value == Value::missing && first_)
        fail(fmt::format("no key '{}', but {} (--json-key)", key_, fmt::join(handler.keys(), ", ")));
    first_ = false;
    if (value != Value::string) {
        left_out_.add(Reason::no_text_in_line, fmt::format("{}:{}", path_.string(), number_));
        return;
    }
    const size_t before = out.size();
    out += handler.string();
    out.erase(std::remove(out.begin() + static_cast<ptrdiff_t>(before), out.end(), '\0'), out.end());
    out += '\n';
    out += kDocumentMark;
}

}  // namespace dropforge::data
