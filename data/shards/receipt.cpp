#include "data/shards/receipt.h"

#include <xxhash.h>

#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/error.h"
#include "base/json.h"

namespace dropforge::data {

namespace {

constexpr int kVersion = 1;
constexpr std::array<const char*, 1> kReasonNames = {"short_document"};

constexpr const char* kChecksum = "checksum_of_all";

uint64_t checksum_of(const nlohmann::json& json) {
    const std::string text = json.dump();
    return XXH64(text.data(), text.size(), 0);
}

void check_sums(const Receipt& receipt, const std::string& where) {
    const uint64_t kept = receipt.shard_tokens(Split::train) + receipt.shard_tokens(Split::validation);
    require(receipt.tokens == kept + receipt.dropped_tokens(), "{}: {} tokens in, but {} in shards and {} dropped",
            where, receipt.tokens, kept, receipt.dropped_tokens());
}

nlohmann::json shards_json(const std::vector<ShardEntry>& shards) {
    nlohmann::json list = nlohmann::json::array();
    for (const ShardEntry& shard : shards) {
        list.push_back({{"file", shard.file},
                        {"bytes", shard.bytes},
                        {"tokens", shard.tokens},
                        {"documents", shard.documents},
                        {"checksum", hex(shard.checksum)}});
    }
    return list;
}

uint64_t from_hex(const std::string& digits) {
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    require(error == std::errc() && end == digits.data() + digits.size(), "'{}' is not a checksum", digits);
    return value;
}

std::vector<ShardEntry> shards_from(const nlohmann::json& list) {
    std::vector<ShardEntry> shards;
    for (const nlohmann::json& entry : list) {
        ShardEntry shard{entry.at("file"), count_in(entry, "bytes"), count_in(entry, "tokens"),
                         count_in(entry, "documents"), from_hex(entry.at("checksum"))};
        require(is_file_name(shard.file), "shard '{}' is not a file of this folder", shard.file);
        shards.push_back(std::move(shard));
    }
    return shards;
}

/// Older ones have only `cased`.
Normalization normalization_from(const nlohmann::json& vocabulary) {
    const bool lower = !vocabulary.at("cased").get<bool>();
    return {lower, vocabulary.value("strip_accents", lower), vocabulary.value("tokenize_chinese_chars", true)};
}

Receipt parse(const nlohmann::json& json) {
    require(json.at("version") == kVersion, "version {}, but this program reads version {}", json.at("version").dump(),
            kVersion);
    const nlohmann::json &input = json.at("input"), &text = json.at("text"), &vocabulary = json.at("vocabulary");
    Receipt r;
    r.files = count_in(input, "files");
    r.file_bytes = count_in(input, "file_bytes");
    r.bytes = count_in(input, "bytes");
    r.text_bytes = count_in(input, "text_bytes");
    r.invalid_bytes = count_in(input, "invalid_bytes");
    if (input.contains("left_out")) r.left_out = LeftOut::from_json(input["left_out"]);  // older ones have none
    r.documents = count_in(text, "documents");
    r.words = count_in(text, "words");
    r.tokens = count_in(text, "tokens");
    r.unknown_tokens = count_in(text, "unknown_tokens");
    r.documents_without_tokens = count_in(text, "documents_without_tokens");
    for (size_t i = 0; i < kReasonNames.size(); ++i) {
        const nlohmann::json& drop = json.at("drops").at(kReasonNames[i]);
        r.drops[i] = {count_in(drop, "documents"), count_in(drop, "tokens")};
    }
    r.train = shards_from(json.at("train").at("shards"));
    r.train_documents = count_in(json.at("train"), "documents");
    r.unigram_entropy = json.at("train").at("unigram_entropy");
    r.top_token = json.at("train").at("top_token");
    r.top_token_share = json.at("train").at("top_token_share");
    r.validation = shards_from(json.at("validation").at("shards"));
    r.validation_documents = count_in(json.at("validation"), "documents");
    if (json.at("train").contains("sentences"))
        r.sentences = {count_in(json["train"], "sentences"), count_in(json.at("validation"), "sentences")};
    const uint64_t size = count_in(vocabulary, "size");
    require(size <= std::numeric_limits<int32_t>::max(), "a vocabulary of {} tokens", size);
    r.vocabulary_size = static_cast<int32_t>(size);
    r.vocabulary_hash = from_hex(vocabulary.at("checksum"));
    r.normalization = normalization_from(vocabulary);
    if (vocabulary.contains("trained")) {
        const nlohmann::json& trained = vocabulary["trained"];
        r.trained = {count_in(trained, "asked"), count_in(trained, "characters"), trained.at("coverage")};
    }
    r.made_from = json.at("made_from").get<std::map<std::string, std::string>>();
    return r;
}

double percent(uint64_t part, uint64_t total) {
    return total == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(total);
}

}  // namespace

const char* name_of(Split split) { return split == Split::train ? "train" : "validation"; }

uint64_t Receipt::shard_tokens(Split split) const {
    const std::vector<ShardEntry>& list = shards(split);
    return std::accumulate(list.begin(), list.end(), uint64_t{0},
                           [](uint64_t sum, const ShardEntry& s) { return sum + s.tokens; });
}

uint64_t Receipt::shard_bytes() const {
    uint64_t sum = 0;
    for (const std::vector<ShardEntry>* list : {&train, &validation}) {
        for (const ShardEntry& shard : *list) sum += shard.bytes;
    }
    return sum;
}

uint64_t Receipt::dropped_tokens() const {
    return std::accumulate(drops.begin(), drops.end(), uint64_t{0},
                           [](uint64_t sum, const Drop& d) { return sum + d.tokens; });
}

nlohmann::json Receipt::json() const {
    nlohmann::json vocabulary = {{"size", vocabulary_size},
                                 {"checksum", hex(vocabulary_hash)},
                                 {"cased", !normalization.lower_case},
                                 {"strip_accents", normalization.strip_accents},
                                 {"tokenize_chinese_chars", normalization.split_ideographs}};
    if (trained) {
        vocabulary["trained"] = {
            {"asked", trained->requested}, {"characters", trained->characters}, {"coverage", trained->coverage}};
    }
    nlohmann::json dropped;
    for (size_t i = 0; i < kReasonNames.size(); ++i) {
        dropped[kReasonNames[i]] = {{"documents", drops[i].documents}, {"tokens", drops[i].tokens}};
    }
    nlohmann::json all = {{"version", kVersion},
                          {"made_from", made_from},
                          {"input",
                           {{"files", files},
                            {"file_bytes", file_bytes},
                            {"bytes", bytes},
                            {"text_bytes", text_bytes},
                            {"invalid_bytes", invalid_bytes},
                            {"left_out", left_out.json()}}},
                          {"text",
                           {{"documents", documents},
                            {"words", words},
                            {"tokens", tokens},
                            {"unknown_tokens", unknown_tokens},
                            {"documents_without_tokens", documents_without_tokens}}},
                          {"drops", dropped},
                          {"train",
                           {{"shards", shards_json(train)},
                            {"documents", train_documents},
                            {"tokens", shard_tokens(Split::train)},
                            {"unigram_entropy", unigram_entropy},
                            {"top_token", top_token},
                            {"top_token_share", top_token_share}}},
                          {"validation",
                           {{"shards", shards_json(validation)},
                            {"documents", validation_documents},
                            {"tokens", shard_tokens(Split::validation)}}},
                          {"vocabulary", vocabulary}};
    if (sentences) {
        all["train"]["sentences"] = sentences->train;
        all["validation"]["sentences"] = sentences->validation;
    }
    return all;
}

std::string Receipt::text() const {
    const auto mb = [](uint64_t size) { return static_cast<double>(size) / 1e6; };
    std::string out = fmt::format("input        {} files, {:.1f} MB, {:.1f} MB of text, {} invalid bytes replaced\n",
                                  files, mb(file_bytes), mb(text_bytes), invalid_bytes);
    for (const std::string& line : left_out.lines()) out += fmt::format("left out     {}\n", line);
    out += fmt::format("text         {} documents, {} words, {} tokens, {:.3f} % [UNK]\n", documents, words, tokens,
                       percent(unknown_tokens, tokens));
    if (documents_without_tokens > 0)
        out += fmt::format("             {} documents without a token\n", documents_without_tokens);
    for (Split split : {Split::train, Split::validation}) {
        out += fmt::format("{:<12} {} documents, {} tokens, {} shards\n", name_of(split),
                           split == Split::train ? train_documents : validation_documents, shard_tokens(split),
                           shards(split).size());
    }
    if (sentences)
        out +=
            fmt::format("sentences    {} for training, {} for validation\n", sentences->train, sentences->validation);
    const Drop& short_documents = drops[static_cast<size_t>(DropReason::short_document)];
    out += fmt::format("dropped      {} tokens in {} short documents\n", short_documents.tokens,
                       short_documents.documents);
    out += fmt::format("shards       {:.1f} MB, {:.3f} of the text\n", mb(shard_bytes()),
                       text_bytes == 0 ? 0 : static_cast<double>(shard_bytes()) / static_cast<double>(text_bytes));
    out += fmt::format("vocabulary   {} tokens, {}", vocabulary_size, normalization.text());
    if (trained) {
        out += fmt::format(", of {} asked for; {} characters, {:.2f} % of the text", trained->requested,
                           trained->characters, 100 * trained->coverage);
    }
    out += '\n';
    out += fmt::format("frequencies  unigram entropy {:.4f} nats; always guessing '{}' is right {:.2f} % of the time\n",
                       unigram_entropy, top_token, 100 * top_token_share);
    return out;
}

void Receipt::save(const fs::path& folder) const {
    check_sums(*this, (folder / kFile).string());
    nlohmann::json all = json();
    all[kChecksum] = hex(checksum_of(all));
    write_text(folder / kFile, all.dump(2) + "\n");
}

Receipt Receipt::load(const fs::path& folder) {
    const fs::path path = folder / kFile;
    require(fs::is_directory(folder), "{}: no such data folder", folder.string());
    require(fs::exists(path), "{}: no {}: not a complete data folder (make it with dropforge prepare)", folder.string(),
            kFile);
    Receipt receipt;
    try {
        nlohmann::json json = parse_json(read_text(path), "damaged");
        if (json.contains(kChecksum)) {  // older ones have none
            const uint64_t expected = from_hex(json[kChecksum]);
            json.erase(kChecksum);
            const uint64_t found = checksum_of(json);
            require(expected == found, "damaged: checksum {} expected, {} found", hex(expected), hex(found));
        }
        receipt = parse(json);
    } catch (const nlohmann::json::exception& error) {
        throw Error("{}: damaged: {}", path.string(), error.what());
    } catch (const Error& error) {
        throw Error("{}: {}", path.string(), error.what());
    }
    check_sums(receipt, path.string());
    return receipt;
}

uint64_t hash_file(const fs::path& path) {
    const MappedFile file(path);
    return XXH64(file.bytes().data(), file.bytes().size(), 0);
}

std::string hex(uint64_t value) { return fmt::format("{:016x}", value); }

}  // namespace dropforge::data
