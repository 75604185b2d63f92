#include "finetune/record.h"

#include <xxhash.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "model/checkpoint/huggingface.h"

namespace dropforge {

namespace {

constexpr std::string_view kOf = "\n[of]\n";  // begins what the run is of; the configuration stands before it

/// Of a task's file, and of MultiRC's passages beside it.
std::string file_hash(const fs::path& path) {
    uint64_t hash = 0;
    const auto add = [&hash](const fs::path& file) {
        const std::string text = read_text(file);
        hash = XXH64(text.data(), text.size(), hash);
    };
    add(path);
    const fs::path passages = path.parent_path() / (path.stem().string() + "_passages.tsv");
    if (fs::exists(passages)) add(passages);
    return fmt::format("{:016x}", hash);
}

std::string configuration_part(const std::string& text, const std::string& where) {
    const size_t end = text.find(kOf);
    require(end != std::string::npos, "{}: not of a fine-tuning run", where);
    return text.substr(0, end);
}

/// The first line that differs: "train = … there and … here".
std::string first_difference(const std::string& recorded, const std::string& own) {
    std::istringstream there(recorded), here(own);
    for (std::string a, b; std::getline(here, b);) {
        if (!std::getline(there, a)) a.clear();
        if (a != b) return fmt::format("{} there and {} here", a.empty() ? "nothing" : a, b);
    }
    return {};
}

}  // namespace

RunRecord finetuning_record(const FinetuneOptions& o, const FinetuneConfig& config,
                            const std::vector<std::string>& labels) {
    std::string of;
    const auto add = [&of](const char* name, const nlohmann::json& value) {
        of += fmt::format("{} = {}\n", name, value.dump());  // of strings and lists of them, TOML's form is JSON's
    };
    add("task", o.task.name);
    add("model", weights_fingerprint(o.model));
    add("training", file_hash(o.training));
    add("evaluated", file_hash(o.evaluated));
    add("labels", labels);
    add("columns", o.task.columns);
    return {.toml = config.to_toml() + std::string(kOf) + of,
            .difference =
                [config, of](const std::string& recorded, const std::string& where) {
                    const std::string difference = config.difference(recorded_finetuning(recorded, where));
                    return difference.empty() ? first_difference(recorded.substr(recorded.find(kOf) + kOf.size()), of)
                                              : difference;
                },
            .may_hold = kGridFolder};
}

FinetuneConfig recorded_finetuning(const std::string& text, const std::string& where) {
    return FinetuneConfig::from_toml(configuration_part(text, where), where);
}

}  // namespace dropforge
