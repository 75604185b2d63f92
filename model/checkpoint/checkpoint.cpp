#include "model/checkpoint/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <map>
#include <sstream>

#include "base/error.h"
#include "engine/safetensors.h"
#include "model/checkpoint/huggingface.h"
#include "model/checkpoint/tokenizer_files.h"

namespace dropforge {

namespace {

constexpr const char* kFile = "trainer.safetensors";
constexpr const char* kFormat = "3";
constexpr const char* kFormatBefore = "2";  // whose interval is a tensor; read too
constexpr const char* kInterval = "interval";
/// What the tensor of that name held, before sums had names in a checkpoint.
constexpr const char* kOldInterval[] = {"loss",        "count",       "correct",   "steps",    "kept",
                                        "align_steps", "align_count", "loss_full", "kl_local", "kl_global"};
constexpr const char* kLossScale = "loss_scale";
constexpr const char *kMoment1 = "moment1/", *kMoment2 = "moment2/";  // begin a tensor's name

const std::string& text(const SafetensorsFile& file, const std::string& key) {
    const auto found = file.metadata().find(key);
    require(found != file.metadata().end(), "{}: the metadata lacks {}", file.path().string(), key);
    return found->second;
}

int64_t integer(const SafetensorsFile& file, const std::string& key) {
    const std::string& digits = text(file, key);
    int64_t value = 0;
    const char* end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, value);
    require(error == std::errc() && stop == end && value >= 0, "{}: {} must be a count, not \"{}\"",
            file.path().string(), key, digits);
    return value;
}

/// "loss 12.5\ncount 3\n": each number as the shortest decimal that reads back as the same.
std::string interval_text(const NamedNumbers& interval) {
    std::string text;
    for (const auto& [name, value] : interval) text += fmt::format("{} {}\n", name, value);
    return text;
}

NamedNumbers read_interval(const SafetensorsFile& file) {
    NamedNumbers interval;
    std::istringstream lines(text(file, kInterval));
    for (std::string name, digits; lines >> name >> digits;) {
        double& value = interval[name];
        const char* end = digits.data() + digits.size();
        const auto [stop, error] = std::from_chars(digits.data(), end, value);
        require(error == std::errc() && stop == end, "{}: {} of the interval is \"{}\", expected a number",
                file.path().string(), name, digits);
    }
    return interval;
}

NamedNumbers read_old_interval(const SafetensorsFile& file) {
    double values[std::size(kOldInterval)];
    const auto bytes = file.bytes(kInterval);
    require(bytes.size() == sizeof values, "{}: {} must have {} bytes, not {}", file.path().string(), kInterval,
            sizeof values, bytes.size());
    std::memcpy(values, bytes.data(), sizeof values);
    NamedNumbers interval;
    for (size_t i = 0; i < std::size(values); ++i) interval[kOldInterval[i]] = values[i];
    return interval;
}

TrainingState read_state(const SafetensorsFile& file) {
    const auto& metadata = file.metadata();
    const auto version = metadata.find("format_version");
    const std::string format = version == metadata.end() ? "none" : version->second;
    require(format == kFormat || format == kFormatBefore,
            "{}: a trainer file of format {}, this version reads {} and {}", file.path().string(), format,
            kFormatBefore, kFormat);
    TrainingState state;
    state.step = integer(file, "step");
    state.config = text(file, "config");
    state.data = text(file, "data");
    state.revision = text(file, "revision");
    for (const auto& [key, value] :
         {std::pair{"kernels", &state.kernels}, {"initial", &state.initial}, {"initial_path", &state.initial_path}})
        if (const auto found = metadata.find(key); found != metadata.end()) *value = found->second;
    state.interval = format == kFormat ? read_interval(file) : read_old_interval(file);
    return state;
}

/// A checkpoint of another precision has none: all of its updates were taken.
kernels::LossScale read_loss_scale(const SafetensorsFile& file, int64_t step) {
    kernels::LossScale scale{.updates = static_cast<int32_t>(step)};
    if (!file.has(kLossScale)) return scale;
    const auto bytes = file.bytes(kLossScale);
    require(bytes.size() == sizeof scale, "{}: {} must have {} bytes, not {}", file.path().string(), kLossScale,
            sizeof scale, bytes.size());
    std::memcpy(&scale, bytes.data(), sizeof scale);
    require(std::isfinite(scale.scale) && scale.scale >= scale.kLeast, "{}: a loss scale of {}", file.path().string(),
            scale.scale);
    return scale;
}

void read_arena(const SafetensorsFile& file, const std::string& prefix, const Parameters& parameters, float* arena) {
    for (const HfTensor& t : parameters.tensors())
        file.read(prefix + t.name, {arena + t.offset, static_cast<size_t>(t.shape.size())}, t.shape.dimensions());
}

}  // namespace

void add_optimizer_states(SafetensorsWriter& writer, const Parameters& parameters, TrainedStates& states) {
    if (const kernels::LossScale* scale = states.loss_scale())
        writer.add_raw(kLossScale, "I32", std::as_bytes(std::span(scale, 1)), {sizeof *scale / sizeof(int32_t)});
    for (const auto& [prefix, arena] : {std::pair{kMoment1, states.moment1()}, {kMoment2, states.moment2()}})
        for (const HfTensor& t : parameters.tensors())
            writer.add(prefix + t.name, std::span<const float>(arena + t.offset, static_cast<size_t>(t.shape.size())),
                       t.shape.dimensions());
}

void read_optimizer_states(const SafetensorsFile& file, const Parameters& parameters, int64_t step,
                           TrainedStates& states) {
    read_arena(file, kMoment1, parameters, states.moment1());
    read_arena(file, kMoment2, parameters, states.moment2());
    if (kernels::LossScale* scale = states.loss_scale()) *scale = read_loss_scale(file, step);
}

std::vector<std::string> written_otherwise(const TrainingState& saved, const TrainingState& running) {
    std::vector<std::string> lines;
    if (saved.revision != running.revision)
        lines.push_back(
            fmt::format("the checkpoint was written by revision {}, this is {}", saved.revision, running.revision));
    if (!saved.kernels.empty() && saved.kernels != running.kernels)
        lines.push_back(
            fmt::format("the checkpoint was written by kernels for {}, these are for {}: from here on "
                        "numbers are rounded otherwise",
                        saved.kernels, running.kernels));
    return lines;
}

void require_begun_with(const fs::path& initial, const TrainingState& saved, const fs::path& checkpoint) {
    if (initial.empty()) return;
    const std::string fingerprint = weights_fingerprint(initial);
    if (saved.initial == fingerprint) return;
    const std::string began =
        saved.initial.empty() ? "which does not say what weights its run began with"
        : saved.initial == TrainingState::kDrawn
            ? "whose run began with random weights"
            : fmt::format("whose run began with the weights of {} ({})", saved.initial_path, saved.initial);
    throw Error("--init {} ({}): the run goes on from {}, {}; leave out --init, or choose another --out",
                initial.string(), fingerprint, checkpoint.string(), began);
}

void save_checkpoint(const fs::path& folder, const Parameters& parameters, TrainingStep& step,
                     const TrainingState& state, const data::Vocabulary& vocabulary,
                     const data::Normalization& normalization) {
    step.fetch_states();
    save_model(folder, parameters, step.values());
    save_tokenizer(folder, vocabulary, normalization, parameters.config().max_positions);
    SafetensorsWriter writer;
    writer.metadata("format_version", kFormat);
    writer.metadata("step", std::to_string(state.step));
    writer.metadata("config", state.config);
    writer.metadata("data", state.data);
    writer.metadata("revision", state.revision);
    writer.metadata("kernels", state.kernels);
    writer.metadata("initial", state.initial);
    writer.metadata("initial_path", state.initial_path);
    writer.metadata(kInterval, interval_text(state.interval));
    for (const MethodState& s : step.programs().options.method->states())
        writer.add(s.name, std::span<const float>(step.state(s.name)), {s.size});
    add_optimizer_states(writer, parameters, step.states());
    writer.write(folder / kFile);
}

void read_method_state(const SafetensorsFile& file, const std::string& name, std::span<float> values) {
    require(file.has(name), "{}: no {}: a checkpoint of another method", file.path().string(), name);
    file.read(name, values, std::vector{std::ssize(values)});
    for (size_t i = 0; i < values.size(); ++i)
        require(std::isfinite(values[i]), "{}: {}[{}] is {}, must be a finite number", file.path().string(), name, i,
                values[i]);
}

std::map<std::string, std::vector<float>> load_method_states(const fs::path& folder) {
    const SafetensorsFile file(folder / kFile);
    std::map<std::string, std::vector<float>> states;
    for (const auto& [name, info] : file.tensors()) {
        if (name == kInterval || name == kLossScale || name.starts_with("moment")) continue;
        std::vector<float>& values = states[name];
        values.resize(static_cast<size_t>(info.size()));
        read_method_state(file, name, values);
    }
    return states;
}

TrainingState load_training_state(const fs::path& folder) { return read_state(SafetensorsFile(folder / kFile)); }

TrainingState load_checkpoint(const fs::path& folder, const Parameters& parameters, TrainingStep& step) {
    load_initial_weights(folder, parameters, step);
    const SafetensorsFile file(folder / kFile);
    for (const MethodState& s : step.programs().options.method->states())
        read_method_state(file, s.name, step.state(s.name));
    TrainingState state = read_state(file);
    read_optimizer_states(file, parameters, state.step, step.states());
    step.store_states();
    return state;
}

namespace {

/// What decides the result but has no shape.
void require_same_model(const fs::path& folder, const BertConfig& own, const BertConfig& run) {
    require(own.heads == run.heads, "{}: {} attention heads, this run's model.heads is {}", folder.string(), own.heads,
            run.heads);
    require(own.gelu == run.gelu, "{}: another form of GELU than this run's model.activation", folder.string());
    require(own.epsilon == run.epsilon, "{}: layer_norm_eps is {}, this run's is {}", folder.string(), own.epsilon,
            run.epsilon);
    require(own.tied_decoder, "{}: a decoder that is not the word table; this run's is, as in all training here",
            folder.string());
}

/// Rows of tokens that only the model has: padding to a round number, or tokens added for another task.
bool has_more_tokens(const HfTensor& given, const HfTensor& wanted) {
    return (wanted.name == "bert.embeddings.word_embeddings.weight" || wanted.name == "cls.predictions.bias") &&
           given.shape[0] > wanted.shape[0] &&
           given.shape.size() / given.shape[0] == wanted.shape.size() / wanted.shape[0];
}

void add_head_notes(const fs::path& folder, const Heads& given, const Heads& wanted, std::vector<std::string>& notes) {
    for (const HeadPointer& head : all_heads())
        if (given.has(head) != wanted.has(head))
            notes.push_back(fmt::format("{}: {} {}", folder.string(),
                                        given.has(head) ? "left out:" : "starts anew, as there is no", head->title()));
}

}  // namespace

std::vector<std::string> load_initial_weights(const fs::path& folder, const Parameters& parameters,
                                              TrainingStep& step) {
    const Model model = load_model(folder);
    require_same_model(folder, model.parameters.config(), parameters.config());
    std::vector<std::string> notes = notes_on(model, folder);
    std::map<std::string, const HfTensor*> unread;
    for (const HfTensor& t : model.parameters.tensors()) unread.emplace(t.name, &t);
    for (const HfTensor& t : parameters.tensors()) {
        const auto found = unread.find(t.name);
        if (found == unread.end() && t.head != nullptr) continue;
        require(found != unread.end(), "{}: the tensor {} of this run's model is missing", folder.string(), t.name);
        const HfTensor& own = *found->second;
        const bool cut = has_more_tokens(own, t);
        require(own.shape == t.shape || cut, "{}: {} has the shape {}, this run's model has {}", folder.string(),
                t.name, own.shape.text(), t.shape.text());
        if (cut)
            notes.push_back(fmt::format("{}: {} has {} rows, the last {} of tokens that the data lacks: left out",
                                        folder.string(), t.name, own.shape[0], own.shape[0] - t.shape[0]));
        std::copy_n(model.values.as<float>() + own.offset, t.shape.size(), step.values() + t.offset);
        unread.erase(found);
    }
    for (const auto& [name, tensor] : unread)
        require(tensor->head != nullptr, "{}: the tensor {} is no part of this run's model", folder.string(), name);
    add_head_notes(folder, model.parameters.heads(), parameters.heads(), notes);
    step.store_states();
    return notes;
}

}  // namespace dropforge
