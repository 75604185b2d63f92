#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "data/tokenizer/unicode.h"
#include "data/tokenizer/wordpiece.h"

namespace dropforge::data {

namespace {

void check_token(std::string_view token, const std::string& origin, size_t line) {
    require(!token.empty(), "{}, line {}: empty; a vocabulary has one token on every line", origin, line);
    require(is_valid_utf8(token), "{}, line {}: not valid UTF-8", origin, line);
    const auto is_blank_or_control = [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == 0x7F; };
    for (const char c : token) {
        require(!is_blank_or_control(c),
                "{}, line {}: \"{}\" holds a space or control character; expected one token a line", origin, line,
                token);
    }
}

}  // namespace

Vocabulary::Vocabulary(std::vector<std::string> tokens, const std::string& origin) : tokens_(std::move(tokens)) {
    require(!tokens_.empty(), "{}: empty; expected one token a line", origin);
    std::unordered_map<std::string_view, int32_t> ids;
    ids.reserve(tokens_.size());
    for (size_t i = 0; i < tokens_.size(); ++i) {
        check_token(tokens_[i], origin, i + 1);
        const auto [first, is_new] = ids.emplace(tokens_[i], static_cast<int32_t>(i));
        require(is_new, "{}, line {}: \"{}\" is a duplicate of line {}", origin, i + 1, tokens_[i], first->second + 1);
    }
    const auto id_of = [&](const char* token) {
        const auto found = ids.find(token);
        require(found != ids.end(), "{}: no {} among its {} tokens; BERT needs [PAD] [UNK] [CLS] [SEP] [MASK]", origin,
                token, tokens_.size());
        return found->second;
    };
    special_ = {id_of("[PAD]"), id_of("[UNK]"), id_of("[CLS]"), id_of("[SEP]"), id_of("[MASK]")};
}

Vocabulary Vocabulary::load(const fs::path& path) {
    const MappedFile file(path);
    std::vector<std::string> tokens;
    for (std::string_view rest = file.text(); !rest.empty();) {
        const size_t newline = rest.find('\n');
        std::string_view line = rest.substr(0, newline);
        rest.remove_prefix(newline == std::string_view::npos ? rest.size() : newline + 1);
        if (line.ends_with('\r')) line.remove_suffix(1);
        tokens.emplace_back(line);
    }
    return Vocabulary(std::move(tokens), path.string());
}

void Vocabulary::save(const fs::path& path) const {
    AtomicFile file(path);
    for (const std::string& token : tokens_) {
        file.write(token);
        file.write("\n");
    }
    file.commit();
}

}  // namespace dropforge::data
