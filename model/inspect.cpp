#include "model/inspect.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "data/dataset.h"
#include "engine/plan_svg.h"
#include "engine/safetensors.h"
#include "model/checkpoint.h"
#include "model/huggingface.h"
#include "model/manifest.h"
#include "model/run_folder.h"
#include "model/run_plan.h"

namespace dropforge {

namespace {

using Json = nlohmann::ordered_json;

Json plan_json(const Program& program, const MemoryPlan& plan) {
    return {{"program", program.name()},
            {"ops", program.ops().size()},
            {"gflops", program.flops() / 1e9},
            {"plan_bytes", plan.bytes},
            {"plan_lower_bound_bytes", plan.lower_bound}};
}

Inspection inspect_configuration(const std::string& what, const fs::path& svg) {
    const RunPlan plan(RunConfig::load(what));
    const StepPrograms& p = plan.programs;
    struct Planned {
        const char* suffix;  // of the picture's file name
        const Program& program;
        const MemoryPlan& memory;
    };
    const Planned programs[] = {{"", p.first, p.first_plan},
                                {"-accumulating", p.further, p.further_plan},
                                {"-update", p.update, p.update_plan},
                                {"-evaluation", plan.evaluation, plan.evaluation_plan}};
    Inspection result;
    result.text = plan.text();
    result.json = {{"kind", "configuration"}};
    result.json.update(plan.json());
    for (const auto& [suffix, program, memory] : programs) {
        result.text += fmt::format("\n{}", plan_text(program, memory));
        result.json["programs"].push_back(plan_json(program, memory));
        if (!svg.empty())
            write_text(svg.parent_path() / (svg.stem().string() + suffix + svg.extension().string()),
                       plan_svg(program, memory));
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
    return {fmt::format("shard      {}\nversion    {}\ntokens     {} ({} bytes each), {} words\ndocuments  "
                        "{}\nvocabulary {} tokens, hash "
                        "{}\nbytes      {}\nevery block's checksum is right\n",
                        path.string(), h.version, h.tokens, h.id_bytes, h.words, h.documents, h.vocabulary_size,
                        data::hex(h.vocabulary_hash), h.file_bytes),
            {{"kind", "shard"},
             {"version", h.version},
             {"tokens", h.tokens},
             {"words", h.words},
             {"documents", h.documents},
             {"id_bytes", h.id_bytes},
             {"vocabulary_size", h.vocabulary_size},
             {"bytes", h.file_bytes},
             {"unigram_entropy", h.unigram_entropy}}};
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
    const Heads& heads = model.parameters.heads();
    int64_t count = 0;
    for (const HfTensor& t : model.parameters.tensors()) count += t.shape.size();
    Inspection result;
    result.text = fmt::format(
        "{}  {}\nmodel       {} layers, hidden {}, {} heads, vocabulary {}, {} positions, {}\ntensors     {} with "
        "{:.2f} M "
        "values; MLM head {}, pooler {}, NSP head {}\n",
        checkpoint ? "checkpoint" : "model     ", folder.string(), c.layers, c.hidden, c.heads, c.vocabulary,
        c.max_positions, c.gelu == kernels::Gelu::erf ? "gelu" : "gelu_new", model.parameters.tensors().size(),
        static_cast<double>(count) / 1e6, heads.mlm ? "yes" : "no", heads.pooler ? "yes" : "no",
        heads.next_sentence ? "yes" : "no");
    result.json = {{"kind", checkpoint ? "checkpoint" : "model"},
                   {"layers", c.layers},
                   {"hidden", c.hidden},
                   {"heads", c.heads},
                   {"vocabulary", c.vocabulary},
                   {"parameters", count}};
    if (!checkpoint) return result;
    const TrainingState state = load_training_state(folder);
    result.text += fmt::format("step        {}\ndata        {}\nrevision    {}\nevery file is as the manifest says\n",
                               state.step, state.data, state.revision);
    result.json["step"] = state.step;
    result.json["data"] = state.data;
    result.json["revision"] = state.revision;
    return result;
}

Inspection inspect_run(const fs::path& folder) {
    Inspection result{fmt::format("run         {}\n", folder.string()),
                      {{"kind", "run"}, {"checkpoints", Json::array()}}};
    const std::string config = read_text(folder / "config.toml");
    for (const Checkpoint& c : list_checkpoints(folder)) {
        const std::string wrong = damage(c.path);
        result.text += fmt::format("checkpoint  step {}: {}{}\n", c.step, wrong.empty() ? "whole" : "DAMAGED: ", wrong);
        if (!wrong.empty() && result.fault.empty())
            result.fault = fmt::format("checkpoint of step {} is damaged: {}", c.step, wrong);
        result.json["checkpoints"].push_back({{"step", c.step}, {"path", c.path.string()}, {"whole", wrong.empty()}});
    }
    if (result.json["checkpoints"].empty()) result.text += "checkpoint  none\n";
    result.text += fmt::format("\n{}", config);
    return result;
}

}  // namespace

Inspection inspect(const std::string& what, const fs::path& svg) {
    const fs::path path = what;
    if (what.ends_with(".toml") || !fs::exists(path)) return inspect_configuration(what, svg);
    require(svg.empty(), "{}: only a configuration has a memory plan to draw", what);
    if (fs::is_regular_file(path)) return inspect_shard(path);
    if (fs::exists(path / data::Receipt::kFile)) return inspect_data(path);
    if (fs::exists(path / "model.safetensors")) return inspect_model(path);
    require(fs::exists(path / "config.toml"),
            "{}: neither a data folder (dataset.json), nor a model (model.safetensors), nor a run (config.toml)", what);
    return inspect_run(path);
}

}  // namespace dropforge
