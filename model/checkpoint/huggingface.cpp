#include "model/checkpoint/huggingface.h"

#include <fmt/ranges.h>
#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <set>

#include "base/error.h"
#include "engine/safetensors.h"
#include "model/checkpoint/tensor_files.h"

namespace dropforge {

namespace {

const std::string kPrefix = "bert.";
const std::string kWord = "bert.embeddings.word_embeddings.weight", kDecoder = "cls.predictions.decoder.weight",
                  kBias = "cls.predictions.bias", kDecoderBias = "cls.predictions.decoder.bias";

/// Our name of a tensor of the file: with the prefix, and with LayerNorm's parameters as they are called today. Other
/// tasks' heads keep theirs.
std::string full_name(std::string name) {
    for (const auto& [old, today] : {std::pair{"LayerNorm.gamma", "weight"}, {"LayerNorm.beta", "bias"}})
        if (name.ends_with(old)) name = name.substr(0, name.rfind('.') + 1) + today;
    for (const char* part : {"embeddings.", "encoder.", "pooler."})
        if (name.starts_with(part)) return kPrefix + name;
    return name;
}

/// Counters 0, 1, 2 … and zeros, which some versions of transformers save.
bool is_buffer(const std::string& full) {
    return full == "bert.embeddings.position_ids" || full == "bert.embeddings.token_type_ids";
}

/// Of pretraining's models.
bool is_read(const std::string& full) { return full.starts_with(kPrefix) || head_of_tensor(full) != nullptr; }

/// Throws Error if a value is NaN or infinite, as an F64 is that f32 has no number for.
void require_finite(const std::string& file, const std::string& tensor, std::span<const float> values) {
    const auto is_finite = [](float x) { return std::abs(x) <= std::numeric_limits<float>::max(); };
    const auto finite = std::ranges::count_if(values, is_finite);
    if (finite == std::ssize(values)) return;
    throw Error("{}: tensor {}: {} of {} elements are NaN, infinite or past f32's range, the first is element {}", file,
                tensor, std::ssize(values) - finite, values.size(),
                std::ranges::find_if_not(values, is_finite) - values.begin());
}

/// What a model's files hold, by full names.
class Contents {
  public:
    Contents(const TensorFiles& files, const std::function<bool(const std::string& full)>& is_read) : files_(files) {
        for (const auto& [name, file] : files.tensors()) {
            const std::string full = full_name(name);
            if (is_buffer(full)) continue;
            if (!is_read(full)) {
                others_.push_back(name);
                continue;
            }
            const auto [entry, added] = names_.emplace(full, name);
            require(added, "{}: both {} and {} are there", files.where(), name, entry->second);
        }
    }

    bool any(const std::string& start) const {
        const auto found = names_.lower_bound(start);
        return found != names_.end() && found->first.starts_with(start);
    }
    /// Which of the tensors that may be shared make up the decoder, as transformers 5 ties them: what is there is taken
    /// for what is missing, and of two that differ both are. Leaves the names of a tied or of an untied model.
    void settle_decoder(bool& tied) {
        if (tied) {
            copy_if_missing(kWord, kDecoder);
            copy_if_missing(kDecoderBias, kBias);
            tied = !has(kDecoder) || !has(kWord) || std::ranges::equal(bytes(kDecoder), bytes(kWord));
            if (tied && has(kDecoderBias)) names_[kBias] = names_[kDecoderBias];
        }
        if (!tied) names_.erase(kBias);
        if (!tied) return;
        names_.erase(kDecoder);
        names_.erase(kDecoderBias);
    }
    /// Throws Error unless these are all that the parameters need, in their shapes: before memory is asked for that
    /// config.json alone would have. `counts`: the tensors, by full names, that this is about.
    void require_all_of(
        const Parameters& parameters,
        const std::function<bool(const std::string& full)>& counts = [](const std::string&) { return true; }) const {
        std::set<std::string> known;
        for (const HfTensor& t : parameters.tensors()) {
            if (!counts(t.name)) continue;
            if (!has(t.name)) refuse_missing(t.name, parameters.config());
            require(has_shape(t), "{}: tensor {}: expected shape {}, found [{}]", files_.where(), names_.at(t.name),
                    t.shape.text(), fmt::join(shape(t.name), ", "));
            known.insert(t.name);
        }
        for (const auto& [full, name] : names_)
            require(!counts(full) || known.contains(full),
                    "{}: unexpected tensor {}: no part of a BERT encoder with MLM and NSP heads", files_.where(), name);
    }
    void read(const HfTensor& t, float* values) const {
        const std::string& name = names_.at(t.name);
        const SafetensorsFile& file = files_.file(name);
        const std::span<float> to(values + t.offset, static_cast<size_t>(t.shape.size()));
        file.read(name, to);
        require_finite(file.path().string(), name, to);
    }
    /// Whether the tensor is there in its shape.
    bool fits(const HfTensor& t) const { return has(t.name) && has_shape(t); }
    /// Those of other tasks, by their names in the file.
    const std::vector<std::string>& others() const { return others_; }

  private:
    bool has(const std::string& full) const { return names_.contains(full); }
    const std::vector<int64_t>& shape(const std::string& full) const {
        const std::string& name = names_.at(full);
        return files_.file(name).info(name).shape;
    }
    bool has_shape(const HfTensor& t) const { return std::ranges::equal(shape(t.name), t.shape.dimensions()); }
    std::span<const std::byte> bytes(const std::string& full) const { return files_.bytes(names_.at(full)); }
    void copy_if_missing(const std::string& full, const std::string& from) {
        if (!has(full) && has(from)) names_[full] = names_[from];
    }
    [[noreturn]] void refuse_missing(const std::string& name, const BertConfig& config) const {
        for (const std::string& other : others_)
            require(other.find("word_embeddings") == std::string::npos,
                    "{}: the tensor {} is missing, but there is {}: only Hugging Face's names are read", files_.where(),
                    name, other);
        const char* why = "";
        if (!config.tied_decoder && name.starts_with("cls.predictions.decoder."))
            why = ", and nothing else stands for it where tie_word_embeddings is false";
        throw Error("{}: the tensor {} is missing{}{}", files_.where(), name, why, reader_of(name));
    }

    /// For a tensor that only another head wants.
    std::string reader_of(std::string_view name) const {
        for (const HeadPointer& head : all_heads()) {
            const std::string prefix = head->hf_prefix();
            if (head->base() && name.starts_with(head->base()->hf_prefix()) && any(prefix))
                return fmt::format(", which {} reads", prefix.substr(0, prefix.size() - 1));
        }
        return "";
    }

    const TensorFiles& files_;
    std::map<std::string, std::string> names_;  // full name → name in the file
    std::vector<std::string> others_;
};

}  // namespace

bool is_model(const fs::path& folder) {
    return fs::exists(folder / "config.json") || fs::exists(folder / "bert_config.json");
}

Model load_model(const fs::path& folder) {
    const TensorFiles files(folder);
    const fs::path config_path = folder / "config.json";
    BertConfig config = BertConfig::from_json(read_text(config_path), config_path.string());
    Contents contents(files, is_read);
    Heads heads;
    for (const HeadPointer& head : all_heads())
        if (contents.any(head->hf_prefix())) heads.add(head);
    if (heads.has(mlm_head())) contents.settle_decoder(config.tied_decoder);
    Model model{Parameters(config, heads), Buffer(), contents.others()};
    contents.require_all_of(model.parameters);
    model.values = Buffer(model.parameters.size() * static_cast<int64_t>(sizeof(float)));
    for (const HfTensor& t : model.parameters.tensors()) contents.read(t, model.values.as<float>());
    return model;
}

std::vector<std::string> load_encoder(const fs::path& folder, const Parameters& parameters, float* values) {
    std::set<std::string> wanted;
    for (const HfTensor& t : parameters.tensors()) wanted.insert(t.name);
    const auto is_of_encoder = [](const std::string& full) {
        return full.starts_with(kPrefix) && head_of_tensor(full) == nullptr;
    };
    const TensorFiles files(folder);
    const Contents contents(files,
                            [&](const std::string& full) { return is_of_encoder(full) || wanted.contains(full); });
    contents.require_all_of(parameters, is_of_encoder);
    std::vector<std::string> missing;
    for (const HfTensor& t : parameters.tensors()) {
        if (contents.fits(t))
            contents.read(t, values);
        else
            missing.push_back(t.name);
    }
    return missing;
}

std::string weights_fingerprint(const fs::path& folder) {
    uint64_t hash = 0;
    const auto add = [&hash](const auto& bytes) { hash = XXH64(bytes.data(), bytes.size(), hash); };
    const TensorFiles files(folder);
    for (const auto& entry : files.tensors()) {
        add(entry.first);
        add(files.bytes(entry.first));
    }
    return fmt::format("{:016x}", hash);
}

void require_mlm_head(const Model& model, const fs::path& folder) {
    require(model.parameters.heads().has(mlm_head()),
            "{}: the model has no MLM head: no tensor is named cls.predictions.…{}", folder.string(),
            model.others.empty() ? "" : fmt::format(", but {}", model.others.front()));
}

std::vector<std::string> notes_on(const Model& model, const fs::path& folder) {
    if (model.others.empty()) return {};
    return {fmt::format("{}: left out, as heads of other tasks: {}", folder.string(), fmt::join(model.others, ", "))};
}

void save_model(const fs::path& folder, const Parameters& parameters, const float* values) {
    const Heads& heads = parameters.heads();
    SafetensorsWriter writer;
    writer.metadata("format", "pt");
    for (const HfTensor& t : parameters.tensors()) {
        const std::string name = heads.any_loss() ? t.name : t.name.substr(kPrefix.size());
        writer.add(name, {values + t.offset, static_cast<size_t>(t.shape.size())}, t.shape.dimensions());
    }
    writer.write(folder / "model.safetensors");
    write_text(folder / "config.json", parameters.config().to_json(heads.architecture()));
}

}  // namespace dropforge
