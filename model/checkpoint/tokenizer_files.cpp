#include "model/checkpoint/tokenizer_files.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_object.h"
#include "data/tokenizer/tokenizer_json.h"

namespace dropforge {

namespace {

/// What the files call the special tokens, and the only names that they may have.
constexpr std::array<std::pair<const char*, const char*>, 5> kSpecial = {{{"unk_token", "[UNK]"},
                                                                          {"sep_token", "[SEP]"},
                                                                          {"pad_token", "[PAD]"},
                                                                          {"cls_token", "[CLS]"},
                                                                          {"mask_token", "[MASK]"}}};

void require_bert_tokenizer(const JsonObject& config) {
    static constexpr std::array kClasses = {"BertTokenizer",           "BertTokenizerFast", "DistilBertTokenizer",
                                            "DistilBertTokenizerFast", "ElectraTokenizer",  "ElectraTokenizerFast",
                                            "PreTrainedTokenizerFast", "TokenizersBackend"};
    const std::string name = config.text("tokenizer_class", kClasses[0]);
    require(std::ranges::count(kClasses, name) > 0, "{}: tokenizer_class must be one of {}, not \"{}\"", config.where(),
            fmt::join(kClasses, ", "), name);
    const auto must_be = [&](const char* key, bool value) {
        require(config.boolean(key, value) == value, "{}: {} must be {}, not {}", config.where(), key, value, !value);
    };
    must_be("do_basic_tokenize", true);
    must_be("split_special_tokens", false);
    must_be("clean_text", true);
    const std::string prefix = config.text("wordpieces_prefix", "##");
    require(prefix == "##", "{}: wordpieces_prefix must be \"##\", not \"{}\"", config.where(), prefix);
    for (const char* key : {"never_split", "auto_map"})
        require(!config.has(key) || config.value(key).empty(), "{}: {} is {}, which is not read", config.where(), key,
                JsonObject::shown(config.value(key)));
}

/// The switches, and what was not plain about them, in words.
struct Switches {
    data::Normalization normalization;
    std::vector<std::string> notes;
};

/// The switches of tokenizer_config.json, or those of tokenizer.json: transformers follows the first for BERT's own
/// classes, the second for others.
Switches read_switches(const JsonObject& config, const data::TokenizerJson* json, bool has_config) {
    const bool lower = config.boolean("do_lower_case", true);
    const data::Normalization own = {lower, config.boolean("strip_accents", lower),
                                     config.boolean("tokenize_chinese_chars", true)};
    if (json == nullptr && has_config) return {own, {}};
    if (json == nullptr) return {own, {fmt::format("no {}: taken for uncased, as transformers does", config.where())}};
    const std::string name = config.text("tokenizer_class", "BertTokenizer");
    const bool follows_json = name == "PreTrainedTokenizerFast" || name == "TokenizersBackend";
    require(!follows_json || json->has_post_processor, "{}: no post_processor, so {} sets no [CLS] and [SEP]",
            json->where, name);
    Switches switches{follows_json ? json->normalization : own, {}};
    const data::Normalization& other = json->normalization;
    for (const auto& [key, json_key, value, json_value] :
         {std::tuple{"do_lower_case", "lowercase", own.lower_case, other.lower_case},
          {"strip_accents", "strip_accents", own.strip_accents, other.strip_accents},
          {"tokenize_chinese_chars", "handle_chinese_chars", own.split_ideographs, other.split_ideographs}}) {
        if (value == json_value || (!config.has(key) && (follows_json || json->follows(json_key)))) continue;
        require(config.has(key),
                "{}: the normalizer's {} is {}, and tokenizer_config.json has no {}, whose default is {}: programs "
                "differ in which they follow",
                json->where, json_key, json_value, key, value);
        switches.notes.push_back(fmt::format(
            "{}: the normalizer's {} is {}, {} of tokenizer_config.json is {}: {} is taken, as transformers does",
            json->where, json_key, json_value, key, value, follows_json ? json_value : value));
    }
    return switches;
}

/// Tokens that the files add to the vocabulary, by their contents.
class AddedTokenReader {
  public:
    explicit AddedTokenReader(const data::Vocabulary& vocabulary) {
        for (int32_t id = 0; id < vocabulary.size(); ++id) ids_.emplace(vocabulary.token(id), id);
        for (const auto& [key, content] : kSpecial) add(content, ids_.at(content), false, "");
    }

    /// An entry of added_tokens or of added_tokens_decoder.
    void add(const JsonObject& entry, int64_t id) {
        const std::string content = entry.text("content");
        require(!entry.boolean("single_word", false), "{}: single_word is true for \"{}\", which is not read",
                entry.where(), content);
        add(content, id, entry.boolean("normalized", !entry.boolean("special", false)), entry.where());
    }
    /// The last says whether it is normalised.
    void add(const std::string& content, int64_t id, bool normalized, const std::string& where) {
        require(!content.empty(), "{}: an added token is empty", where);
        require(id >= 0 && id <= INT32_MAX, "{}: {} is not an id", where, id);
        if (const auto known = ids_.find(content); known != ids_.end())
            require(known->second == id, "{}: the added token \"{}\" has the id {}, in the vocabulary it has {}", where,
                    content, id, known->second);
        tokens_[content] = {{content, static_cast<int32_t>(id), normalized}, where};
    }
    /// One that has no id of its own.
    void add_special(const std::string& content, const std::string& where) {
        if (tokens_.contains(content)) return;
        const auto known = ids_.find(content);
        require(known != ids_.end(), "{}: the special token \"{}\" has no id in any file", where, content);
        add(content, known->second, false, where);
    }

    /// Those past the vocabulary follow on it without a gap.
    std::vector<data::AddedToken> finish() const {
        std::vector<data::AddedToken> tokens;
        for (const auto& [content, entry] : tokens_) tokens.push_back(entry.token);
        std::ranges::sort(tokens, {}, &data::AddedToken::id);
        auto next = static_cast<int32_t>(ids_.size());
        for (const data::AddedToken& token : tokens) {
            if (ids_.contains(token.content)) continue;
            require(token.id == next, "{}: the added token \"{}\" has the id {}, the next one is {}",
                    tokens_.at(token.content).where, token.content, token.id, next);
            ++next;
        }
        return tokens;
    }

  private:
    std::map<std::string, int32_t> ids_;  // of the vocabulary
    struct Entry {
        data::AddedToken token;
        std::string where;
    };
    std::map<std::string, Entry> tokens_;
};

/// A special token's name: a string, or an object with `content`.
std::string content_of(const JsonObject& json, const char* key) {
    return json.value(key).is_object() ? json.object(key).text("content") : json.text(key);
}

/// Special tokens in a list, or by names of their own.
std::vector<std::string> contents_of(const JsonObject& json, const char* key) {
    std::vector<std::string> contents;
    for (const nlohmann::json& token : json.value(key)) {
        const nlohmann::json& content = token.is_object() && token.contains("content") ? token["content"] : token;
        require(content.is_string(), "{}: {} must hold tokens, not {}", json.where(), key, JsonObject::shown(token));
        contents.push_back(content);
    }
    return contents;
}

/// Special tokens other than BERT's own, and where they stand; of tokenizer_config.json or special_tokens_map.json.
void read_special_tokens(const JsonObject& json, std::map<std::string, std::string>& others) {
    for (const auto& [key, expected] : kSpecial) {
        if (!json.has(key)) continue;
        const std::string content = content_of(json, key);
        require(content == expected, "{}: {} must be \"{}\", not \"{}\"", json.where(), key, expected, content);
    }
    for (const char* key : {"bos_token", "eos_token"})
        if (json.has(key)) others[content_of(json, key)] = json.where() + ": " + key;
    for (const char* key : {"additional_special_tokens", "extra_special_tokens"})
        for (const std::string& content : contents_of(json, key)) others[content] = json.where() + ": " + key;
}

void read_added_tokens(const fs::path& folder, const JsonObject& config, const data::TokenizerJson* json,
                       AddedTokenReader& added) {
    std::map<std::string, std::string> special;
    read_special_tokens(config, special);
    read_special_tokens(JsonObject::load_optional(folder / "special_tokens_map.json"), special);
    const JsonObject list = JsonObject::load_optional(folder / "added_tokens.json");  // older: ids alone
    for (const std::string& content : list.keys())
        added.add(content, list.integer(content.c_str()), !special.contains(content), list.where());
    if (json != nullptr)
        for (const JsonObject& entry : json->added_tokens) added.add(entry, entry.integer("id"));
    const JsonObject decoder = config.object("added_tokens_decoder");
    for (const std::string& id : decoder.keys()) {
        int64_t number = -1;
        const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), number);
        require(error == std::errc() && end == id.data() + id.size(), "{}: \"{}\" is not an id", decoder.where(), id);
        added.add(decoder.object(id.c_str()), number);
    }
    for (const auto& [content, where] : special) added.add_special(content, where);
}

data::Vocabulary read_vocabulary(const fs::path& folder, const data::TokenizerJson* json) {
    const fs::path path = folder / "vocab.txt";
    if (!fs::exists(path)) {
        require(json != nullptr, "{}: neither vocab.txt nor tokenizer.json", folder.string());
        return json->vocabulary;
    }
    data::Vocabulary vocabulary = data::Vocabulary::load(path);
    if (json != nullptr) data::require_same_tokens(json->where, json->vocabulary, path.string(), vocabulary);
    return vocabulary;
}

}  // namespace

std::string ModelTokenizer::token(int32_t id) const {
    if (id < vocabulary.size()) return vocabulary.token(id);
    const auto found = std::ranges::find(added, id, &data::AddedToken::id);
    return found == added.end() ? "" : found->content;
}

int32_t ModelTokenizer::size() const { return std::max(vocabulary.size(), added.back().id + 1); }

ModelTokenizer load_tokenizer(const fs::path& folder) {
    const fs::path config_path = folder / "tokenizer_config.json", json_path = folder / "tokenizer.json";
    const JsonObject config = JsonObject::load_optional(config_path);
    require_bert_tokenizer(config);
    std::optional<data::TokenizerJson> loaded;
    if (fs::exists(json_path)) loaded = data::TokenizerJson::load(json_path);
    const data::TokenizerJson* json = loaded ? &*loaded : nullptr;
    data::Vocabulary vocabulary = read_vocabulary(folder, json);
    const Switches switches = read_switches(config, json, fs::exists(config_path));
    AddedTokenReader added(vocabulary);
    read_added_tokens(folder, config, json, added);
    return {std::move(vocabulary), switches.normalization, added.finish(), switches.notes};
}

std::vector<std::string> require_same_tokenizer(const fs::path& folder, const fs::path& data,
                                                const data::Vocabulary& vocabulary,
                                                const data::Normalization& normalization) {
    const ModelTokenizer own = load_tokenizer(folder);
    const char* file = fs::exists(folder / "vocab.txt") ? "vocab.txt" : "tokenizer.json";
    data::require_same_tokens((folder / file).string(), own.vocabulary, data.string(), vocabulary);
    std::vector<std::string> notes = own.notes, names;
    require(own.normalization == normalization, "{}: {}, the model is {}{}{}", data.string(), normalization.text(),
            own.normalization.text(), notes.empty() ? "" : "; ", fmt::join(notes, "; "));
    for (const data::AddedToken& token : own.added)
        if (token.id >= vocabulary.size()) names.push_back(token.content);
    if (!names.empty())
        notes.push_back(fmt::format("{}: tokens added to the vocabulary, which the data does not have: {}",
                                    folder.string(), fmt::join(names, ", ")));
    return notes;
}

void save_tokenizer(const fs::path& folder, const data::Vocabulary& vocabulary,
                    const data::Normalization& normalization, int64_t max_positions) {
    using Json = nlohmann::ordered_json;
    vocabulary.save(folder / "vocab.txt");
    Json special;
    for (const auto& [key, content] : kSpecial) special[key] = content;
    const bool usual = normalization.strip_accents == normalization.lower_case;
    Json tokenizer = {{"tokenizer_class", "BertTokenizer"},
                      {"do_lower_case", normalization.lower_case},
                      {"tokenize_chinese_chars", normalization.split_ideographs},
                      {"strip_accents", usual ? Json() : Json(normalization.strip_accents)},
                      {"model_max_length", max_positions}};
    tokenizer.update(special);
    write_text(folder / "tokenizer_config.json", tokenizer.dump(2) + "\n");
    write_text(folder / "special_tokens_map.json", special.dump(2) + "\n");
}

}  // namespace dropforge
