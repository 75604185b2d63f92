#include "apps/inspection.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "data/shards/dataset.h"
#include "engine/plan_svg.h"
#include "engine/safetensors.h"
#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/huggingface.h"
#include "model/checkpoint/manifest.h"
#include "model/methods/routing.h"
#include "model/run/folder.h"
#include "model/run/memory_fit.h"
#include "model/run/plan.h"

namespace dropforge {

namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kTokensShown = 20;

Json plan_json(const PlannedProgram& planned) {
    const auto& [program, plan] = planned;
    return {{"program", program.name()},
            {"ops", program.ops().size()},
            {"gflops", program.flops() / 1e9},
            {"plan_bytes", plan.bytes},
            {"plan_lower_bound_bytes", plan.lower_bound}};
}

/// The file for a Program's drawing: plan.svg for the first, plan-align-step.svg for one named "align step".
fs::path picture_path(const fs::path& svg, const Program& program, const Program& first) {
    if (&program == &first) return svg;
    std::string name;
    for (const char c : program.name())
        if (c != ',') name += c == ' ' ? '-' : c;
    return svg.parent_path() / fmt::format("{}-{}{}", svg.stem().string(), name, svg.extension().string());
}

/// The largest micro-batches of a configuration for a size of memory.
Inspection inspect_memory(const std::string& what, int64_t memory) {
    const RunConfig config = RunConfig::load(what);
    const std::vector<MemoryRow> rows = memory_table(config, memory);
    return {memory_text(config, rows, memory),
            {{"kind", "configuration"}, {"memory_bytes", memory}, {"fits", memory_json(config, rows)}}};
}

Inspection inspect_configuration(const std::string& what, const fs::path& svg) {
    const RunPlan plan(RunConfig::load(what));
    std::vector<const PlannedProgram*> programs = plan.programs->all();
    programs.push_back(&plan.evaluation);
    Inspection result;
    result.text = plan.text();
    result.json = {{"kind", "configuration"}};
    result.json.update(plan.json());
    for (const PlannedProgram* planned : programs) {
        const auto& [program, memory] = *planned;
        result.text += fmt::format("\n{}", plan_text(program, memory));
        result.json["programs"].push_back(plan_json(*planned));
        if (!svg.empty()) write_text(picture_path(svg, program, programs.front()->program), plan_svg(program, memory));
    }
    return result;
}

Inspection inspect_data(const fs::path& folder) {
    const data::Receipt receipt = data::Receipt::load(folder);
    for (const data::Split split : {data::Split::train, data::Split::validation}) data::Dataset(folder, split).verify();
    Inspection result{receipt.text() + "every block's checksum is right\n", Json(receipt.json())};
    result.json["kind"] = "data";
    return result;
}

Inspection inspect_shard(const fs::path& path) {
    const data::Shard shard(path);
    shard.verify();
    const data::ShardHeader& h = shard.header();
    const std::string sentences = h.has_sentences() ? fmt::format(", {} sentences", h.sentences) : "";
    Inspection result{fmt::format("shard      {}\nversion    {}\ntokens     {} ({} bytes each), {} words{}\ndocuments  "
                                  "{}\nvocabulary {} tokens, hash "
                                  "{}\nbytes      {}\nevery block's checksum is right\n",
                                  path.string(), h.version, h.tokens, h.id_bytes, h.words, sentences, h.documents,
                                  h.vocabulary_size, data::hex(h.vocabulary_hash), h.file_bytes),
                      {{"kind", "shard"},
                       {"version", h.version},
                       {"tokens", h.tokens},
                       {"words", h.words},
                       {"documents", h.documents},
                       {"id_bytes", h.id_bytes},
                       {"vocabulary_size", h.vocabulary_size},
                       {"bytes", h.file_bytes},
                       {"unigram_entropy", h.unigram_entropy}}};
    if (h.has_sentences()) result.json["sentences"] = h.sentences;
    return result;
}

/// A method's table of values of token ids, as words: the tokens kept first, and those dropped first.
void add_token_table(const fs::path& folder, const std::string& name, const std::vector<float>& table,
                     Inspection& result) {
    const data::Vocabulary vocabulary = data::Vocabulary::load(folder / "vocab.txt");
    if (std::ssize(table) != vocabulary.size()) return;
    std::vector<int32_t> ids;  // without the fixed ones
    for (int32_t id = 0; id < vocabulary.size(); ++id)
        if (std::abs(table[static_cast<size_t>(id)]) < kNeverDropped) ids.push_back(id);
    std::ranges::stable_sort(ids, std::greater{}, [&](int32_t id) { return table[static_cast<size_t>(id)]; });
    const auto list = [&](const char* title, const char* key, auto first, size_t n) {
        result.text += title;
        for (size_t i = 0; i < n; ++i, ++first) {
            const float value = table[static_cast<size_t>(*first)];
            result.text += fmt::format("{}{} {:.2f}", i == 0 ? "" : ", ", vocabulary.token(*first), value);
            result.json[key].push_back({{"token", vocabulary.token(*first)}, {name, value}});
        }
        result.text += "\n";
    };
    const size_t n = std::min<size_t>(kTokensShown, ids.size());
    list("kept first  ", "most_important", ids.begin(), n);
    list("dropped     ", "least_important", ids.rbegin(), n);
}

/// A Hugging Face folder; with trainer.safetensors a checkpoint of a run, whose manifest is checked.
Inspection inspect_model(const fs::path& folder) {
    const bool checkpoint = fs::exists(folder / "trainer.safetensors");
    if (checkpoint) {
        const std::string wrong = damage(folder);
        require(wrong.empty(), "{}", wrong);
    }
    const Model model = load_model(folder);
    const BertConfig& c = model.parameters.config();
    std::string heads;
    for (const HeadPointer& head : all_heads())
        heads += fmt::format("{}{} {}", heads.empty() ? "" : ", ", head->title(),
                             model.parameters.heads().has(head) ? "yes" : "no");
    const int64_t count = model.parameters.count();
    Inspection result;
    result.text = fmt::format(
        "{}  {}\nmodel       {} layers, hidden {}, {} heads, vocabulary {}, {} positions, {}\ntensors     {} with "
        "{:.2f} M values; {}\n",
        checkpoint ? "checkpoint" : "model     ", folder.string(), c.layers, c.hidden, c.heads, c.vocabulary,
        c.max_positions, c.gelu == kernels::Gelu::erf ? "gelu" : "gelu_new", model.parameters.tensors().size(),
        static_cast<double>(count) / 1e6, heads);
    result.json = {{"kind", checkpoint ? "checkpoint" : "model"},
                   {"layers", c.layers},
                   {"hidden", c.hidden},
                   {"heads", c.heads},
                   {"vocabulary", c.vocabulary},
                   {"parameters", count}};
    for (const std::string& note : notes_on(model, folder)) result.text += fmt::format("note        {}\n", note);
    if (!checkpoint) return result;
    const TrainingState state = load_training_state(folder);
    result.text += fmt::format(
        "step        {}\ndata        {}\nrevision    {}\nkernels     {}\n"
        "every file is as the manifest says\n",
        state.step, state.data, state.revision, state.kernels);
    result.json["step"] = state.step;
    result.json["data"] = state.data;
    result.json["revision"] = state.revision;
    result.json["kernels"] = state.kernels;
    for (const auto& [name, values] : load_method_states(folder)) add_token_table(folder, name, values, result);
    return result;
}

Inspection inspect_run(const fs::path& folder) {
    Inspection result{fmt::format("run         {}\n", folder.string()),
                      {{"kind", "run"}, {"checkpoints", Json::array()}}};
    const std::string config = read_text(folder / "config.toml");
    for (const Checkpoint& c : list_checkpoints(folder)) {
        const std::string wrong = damage(c.path);
        result.text +=
            fmt::format("checkpoint  step {}: {}{}\n", c.step, wrong.empty() ? "intact" : "DAMAGED: ", wrong);
        if (!wrong.empty() && result.fault.empty())
            result.fault = fmt::format("checkpoint of step {} is damaged: {}", c.step, wrong);
        result.json["checkpoints"].push_back({{"step", c.step}, {"path", c.path.string()}, {"whole", wrong.empty()}});
    }
    if (result.json["checkpoints"].empty()) result.text += "checkpoint  none\n";
    result.text += fmt::format("\n{}", config);
    return result;
}

}  // namespace

Inspection inspect(const std::string& what, const InspectOptions& options) {
    const fs::path path = what;
    if (what.ends_with(".toml") || !fs::exists(path))
        return options.memory > 0 ? inspect_memory(what, options.memory) : inspect_configuration(what, options.svg);
    require(options.svg.empty(), "{}: only a configuration has a memory plan to draw", what);
    require(options.memory == 0, "{}: only a configuration can be asked what of it fits into a memory", what);
    if (fs::is_regular_file(path)) return inspect_shard(path);
    if (fs::exists(path / data::Receipt::kFile)) return inspect_data(path);
    if (is_model(path)) return inspect_model(path);
    require(fs::exists(path / "config.toml"),
            "{}: neither a data folder (dataset.json), nor a model (config.json), nor a run (config.toml)", what);
    return inspect_run(path);
}

}  // namespace dropforge
