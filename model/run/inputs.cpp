#include "model/run/inputs.h"

#include "base/error.h"
#include "model/checkpoint/checkpoint.h"
#include "model/run/folder.h"
#include "model/run/kernel_report.h"

namespace dropforge {

namespace {

const std::string& data_folder(const RunConfig& config) {
    require(!config.data.path.empty(), "no data folder: give --data, or data.path in the configuration");
    return config.data.path;
}

/// The configuration to train with: a run that goes on keeps what it once derived.
RunConfig resumed_config(const PretrainOptions& options) {
    RunConfig config = options.config;
    if (options.resume == "auto") {
        if (const auto record = recorded_config(options.out)) config.go_on_from(*record, options.out.string());
    } else if (options.resume != "off") {
        const auto checkpoint = find_checkpoint(options.out, options.resume);
        const std::string where = checkpoint->path.string();
        config.go_on_from(RunConfig::from_toml(load_training_state(checkpoint->path).config, where), where);
    }
    return config;
}

/// The weights come from one place.
void check_initial(const PretrainOptions& options) {
    require(options.initial.empty() || options.config.model.init == InitialWeights::normal,
            "{} is \"mimetic\", but --init takes the weights of {}: with --init, --set model.init=normal",
            named_key(options.config.origins, "model.init"), options.initial.string());
}

RunConfig completed(RunConfig config, const data::Dataset& dataset, const data::Vocabulary& vocabulary) {
    take_vocabulary(config, dataset, vocabulary);
    return config;
}

void check_profile(const PretrainOptions& options, const RunPlan& plan) {
    if (options.profile_first == 0) return;
    require(plan.device.kind == "cuda",
            "--profile-steps needs --device cuda: it is for the profilers of GPUs (--trace is for the CPU too)");
    require(options.profile_last <= plan.config.train.steps, "--profile-steps {}:{}: the run has {} steps",
            options.profile_first, options.profile_last, plan.config.train.steps);
}

}  // namespace

RunInputs::RunInputs(const RunConfig& config, const Device& device)
    : training(data_folder(config), data::Split::train),
      validation(config.data.path, data::Split::validation),
      vocabulary(data::Vocabulary::load(training.vocabulary_path())),
      plan(completed(config, training, vocabulary), device) {
    if (config.data.pairs != data::Pairs::none) {
        data::require_pairs(training);
    } else {
        require(training.sequences(config.data.sequence) > 0,
                "{}: the training split has less than one sequence of {} tokens", plan.config.data.path,
                config.data.sequence);
    }
}

bool RunInputs::has_validation() const {
    const DataOptions& options = plan.config.data;
    if (options.pairs != data::Pairs::none) return validation.documents() >= 2;
    return validation.sequences(options.sequence) > 0;
}

RunSchedule RunInputs::schedule() const {
    const RunConfig& config = plan.config;
    return {.steps = config.train.steps,
            .log_every = config.log.every,
            .evaluate_every = has_validation() ? config.eval.every : 0,
            .checkpoint_every = config.checkpoint.every,
            .keep_last = config.checkpoint.keep_last,
            .keep_every = config.checkpoint.keep_every,
            .tensorboard = config.log.tensorboard};
}

RunInputs open_inputs(const PretrainOptions& options) {
    check_initial(options);
    RunInputs inputs(resumed_config(options), options.device);
    if (!options.quiet) std::fputs(inputs.plan.text().c_str(), stderr);
    check_requirements(options.required, inputs.plan);
    check_profile(options, inputs.plan);
    inputs.plan.require_fit();
    return inputs;
}

data::LoaderOptions loader_options(const RunConfig& config, const Method& method) {
    return {.seed = static_cast<uint64_t>(config.train.seed),
            .batch = config.train.batch,
            .length = config.data.sequence,
            .max_predictions = config.data.predictions(),
            .mask_probability = config.data.mask_probability,
            .mask_token_share = method.mask_token_share(),
            .dynamic = config.data.masking == Masking::dynamic,
            .whole_word = config.data.whole_word,
            .pairs = config.data.pairs,
            .short_sequences = config.data.short_sequences};
}

}  // namespace dropforge
