#include "bench/measure/study.h"

#include <fmt/format.h>

#include "data/shards/dataset.h"

namespace dropforge {

void add_study_options(CLI::App& command, Study& study) {
    study.command = fmt::format("{} {}", command.get_parent()->get_name(), command.get_name());
    command.add_option("--model", study.model, "Preset (32 sequences of 128 tokens), or CONFIG.toml")
        ->capture_default_str()
        ->type_name("CONFIG");
    const auto key = [&](const char* flag, const char* name, const char* type, const std::string& help) {
        command
            .add_option_function<std::string>(
                flag, [&study, name](const std::string& v) { study.given[name] = v; }, help)
            ->type_name(type);
    };
    key("--method", "train.method", "METHOD", fmt::format("Pretraining method: {}", fmt::join(method_names(), ", ")));
    key("--keep", "dropping.keep", "K", "Tokens of a sequence that are kept: a count (64), or a share (0.5)");
    key("--precision", "train.precision", "PRECISION",
        "auto, bf16, fp16 or f32; auto is the fastest that the device supports");
    key("--batch", "train.batch", "N", "Sequences in a step");
    key("--micro-batch", "train.micro_batch", "N", "Sequences computed at a time; 0: as many as fit into memory");
    key("--sequence", "data.sequence", "N", "Tokens in a sequence");
    key("--masked", "data.max_predictions", "N", "Masked positions in a sequence (default: 15 %)");
    command.add_flag_callback(
        "--tf32", [&study] { study.given["train.tf32"] = "true"; },
        "Compute f32 GEMMs on TF32 tensor cores: much faster, operands rounded to 10 bits of fraction");
    command
        .add_option("--set", study.settings,
                    "Set any key of the configuration, such as sctd.share_trunk=false; may be repeated")
        ->expected(1)
        ->take_all()
        ->type_name("KEY=VALUE");
}

RunConfig run_config(const Study& study) {
    RunConfig c = RunConfig::load(study.model);
    if (BertConfig::is_preset(study.model)) {
        c.train.batch = 32;
        c.data.sequence = 128;
    }
    std::vector<Setting> settings;
    for (const auto& [key, value] : study.given) settings.push_back({key, value, study.command});
    for (const std::string& s : study.settings) settings.push_back(Setting::parse(s));
    c.set(settings);
    if (!c.data.path.empty()) {
        const data::Dataset dataset(c.data.path, data::Split::train);
        take_vocabulary(c, dataset, data::Vocabulary::load(dataset.vocabulary_path()));
    }
    if (!c.model.special) c.model.special = {.pad = 0, .unk = 1, .cls = 2, .sep = 3, .mask = 4};  // as any data has
    c.train.warmup_steps = 0;
    return c;
}

std::vector<StepKind> kinds_of(const Method& method, bool dense_too) {
    std::vector<StepKind> kinds;
    for (uint32_t i = 0; i < method.kinds().size(); ++i)
        if (method.share(StepKind{i}) > 0 || (dense_too && StepKind{i} == StepKind::dense))
            kinds.push_back(StepKind{i});
    return kinds;
}

RunPlan plan_study(const Study& study, Device device, bool dense_too) {
    const RunConfig config = run_config(study);
    config.validate();
    return RunPlan(config, std::move(device), kinds_of(*config.method(), dense_too));
}

}  // namespace dropforge
