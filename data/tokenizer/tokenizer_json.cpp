#include "data/tokenizer/tokenizer_json.h"

#include <utility>

#include "base/error.h"

namespace dropforge::data {

namespace {

/// The object of a part whose type must be `type`.
JsonObject part(const JsonObject& file, const char* key, const char* type) {
    JsonObject found = file.object(key);
    const std::string found_value = found.text("type", "none");
    require(found_value == type, "{}: the type must be {}, not {}", found.where(), type, found_value);
    return found;
}

Normalization read_normalizer(const JsonObject& file) {
    const JsonObject normalizer = part(file, "normalizer", "BertNormalizer");
    require(normalizer.boolean("clean_text", true), "{}: clean_text must be true, not false", normalizer.where());
    const bool lower = normalizer.boolean("lowercase", true);
    return {lower, normalizer.boolean("strip_accents", lower), normalizer.boolean("handle_chinese_chars", true)};
}

Vocabulary read_model(const JsonObject& file) {
    const JsonObject model = part(file, "model", "WordPiece");
    const auto must_be = [&](const char* key, const std::string& expected) {
        const std::string found_value = model.text(key, expected);
        require(found_value == expected, "{}: {} must be \"{}\", not \"{}\"", model.where(), key, expected,
                found_value);
    };
    must_be("unk_token", "[UNK]");
    must_be("continuing_subword_prefix", "##");
    const int64_t longest = model.integer("max_input_chars_per_word", 100);
    require(longest == 100, "{}: max_input_chars_per_word must be 100, not {}", model.where(), longest);
    const JsonObject list = model.object("vocab");
    std::vector<std::string> tokens(list.size());
    for (const std::string& token : list.keys()) {
        const int64_t id = list.integer(token.c_str());
        require(id >= 0 && id < std::ssize(tokens) && tokens[static_cast<size_t>(id)].empty(),
                "{}: the id {} of \"{}\" is taken or not below {}", list.where(), id, token, tokens.size());
        tokens[static_cast<size_t>(id)] = token;
    }
    return Vocabulary(std::move(tokens), list.where());
}

/// [CLS] text [SEP], as BertProcessing or as a template. BertTokenizer makes its own, so none is no fault.
void require_post_processor(const JsonObject& file) {
    if (!file.has("post_processor")) return;
    const JsonObject processor = file.object("post_processor");
    if (processor.text("type") == "BertProcessing") return;
    require(processor.text("type") == "TemplateProcessing",
            "{}: the type must be BertProcessing or TemplateProcessing, not {}", processor.where(),
            processor.text("type"));
    const auto expected = nlohmann::json::array({{{"SpecialToken", {{"id", "[CLS]"}, {"type_id", 0}}}},
                                                 {{"Sequence", {{"id", "A"}, {"type_id", 0}}}},
                                                 {{"SpecialToken", {{"id", "[SEP]"}, {"type_id", 0}}}}});
    require(processor.value("single") == expected, "{}: single must be [CLS] A [SEP], not {}", processor.where(),
            JsonObject::shown(processor.value("single")));
}

}  // namespace

TokenizerJson TokenizerJson::load(const fs::path& path) {
    const JsonObject file = JsonObject::load(path);
    part(file, "pre_tokenizer", "BertPreTokenizer");
    require_post_processor(file);
    return {file.where(),
            read_model(file),
            read_normalizer(file),
            file.objects("added_tokens"),
            file.has("post_processor"),
            !file.object("normalizer").has("strip_accents")};
}

Vocabulary load_vocabulary(const fs::path& path, const Normalization& normalization) {
    if (path.extension() != ".json") return Vocabulary::load(path);
    TokenizerJson json = TokenizerJson::load(path);
    require(json.normalization == normalization,
            "{}: {}, but the options (--cased, --strip-accents, --tokenize-chinese-chars) say {}", path.string(),
            json.normalization.text(), normalization.text());
    return std::move(json.vocabulary);
}

void require_same_tokens(const std::string& where, const Vocabulary& own, const std::string& where_other,
                         const Vocabulary& other) {
    require(own.size() == other.size(), "{}: {} tokens, {} has {}", where, own.size(), where_other, other.size());
    for (int32_t id = 0; id < own.size(); ++id)
        require(own.token(id) == other.token(id), "{}: token {} is \"{}\", in {} it is \"{}\": another vocabulary",
                where, id, own.token(id), where_other, other.token(id));
}

}  // namespace dropforge::data
