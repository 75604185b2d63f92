// dropforge parity: one batch through a model, every number written to a file that tests compare.
#include "apps/parity_run.h"

#include <cmath>

#include "apps/commands.h"
#include "base/command_line.h"
#include "base/error.h"
#include "devices/choice/choose_device.h"
#include "model/run/fields.h"

namespace dropforge {

namespace {

constexpr config::Range kNotNegative{0, HUGE_VAL, false, true}, kPositive{0, HUGE_VAL, true, true};
constexpr config::Range kBelowOne{0, 1, false, true};

/// A number that `range` holds; unlike CLI11's own checks this one does not let NaN through.
CLI::Validator in(config::Range range) {
    const auto check = [range](const std::string& text) -> std::string {
        double x = 0;
        if (CLI::detail::lexical_cast(text, x) && range.holds(x)) return {};
        return "expected a number " + range.text() + ", got " + text;
    };
    return {check, range.text()};
}

void add_method(CLI::App& command, ParityOptions& o) {
    add_choice(command, "--method", o.method, kMethodNames, "Method");
    command
        .add_option_function<int64_t>(
            "--keep",
            [&o](int64_t keep) {
                o.dropping.keep = {static_cast<double>(keep), false};
            },
            "Tokens of a sequence that stay (default: half)")
        ->transform(whole_number<int64_t>(1, 65536));
    command.add_option("--importance-beta", o.dropping.importance_beta, "Of the importance table's moving average")
        ->check(in(kBelowOne))
        ->capture_default_str();
    command.add_option("--lambda", o.sctd.lambda, "Weight of the divergences")
        ->check(in(kNotNegative))
        ->capture_default_str();
    add_choice(command, "--pooled", o.sctd.pooled, kPoolingNames, "Rows that the divergences compare");
    add_choice(command, "--kl-normalization", o.sctd.kl_normalization, kKlNormalizationNames,
               "What the divergences are divided by");
    static constexpr std::array kSwitch{"off", "on"};
    add_choice(command, "--share-trunk", o.sctd.share_trunk, kSwitch, "Layers before the first dropped token run once");
    add_choice(command, "--full-mlm", o.sctd.full_mlm, kSwitch, "The full pass has MLM and NSP losses too");
    add_choice(command, "--recompute", o.sctd.recompute, kSwitch, "The pass with dropped tokens runs forward twice");
}

}  // namespace

void add_parity(CLI::App& app, CommonOptions& common) {
    auto* command =
        app.add_subcommand("parity", "One step on a given batch: states, losses, gradients, updated weights");
    auto options = std::make_shared<ParityOptions>();
    auto device = std::make_shared<std::string>("cpu");
    auto tf32 = std::make_shared<bool>(false);
    command->add_option("--model", options->model, "Hugging Face directory")->required();
    command->add_option("--batch", options->batch, "Batch file (safetensors)")->required();
    command->add_option("--out", options->out, "Result file (safetensors)")->required();
    add_method(*command, *options);
    add_choice(*command, "--precision", options->dtype, kPrecisionNames, "Of weights, activations and their gradients");
    command->add_option("--steps", options->steps, "Optimizer steps on the batch")->transform(whole_number<int64_t>(0));
    static constexpr std::array kOptimizers{"adamw", "lamb"};
    add_choice(*command, "--optimizer", options->optimizer, kOptimizers, "Optimizer");
    command->add_option("--lr", options->lr, "Learning rate, constant")->check(in(kNotNegative))->capture_default_str();
    command->add_option("--weight-decay", options->weight_decay)->check(in(kNotNegative))->capture_default_str();
    command->add_option("--beta1", options->beta1)->check(in(kBelowOne))->capture_default_str();
    command->add_option("--beta2", options->beta2)->check(in(kBelowOne))->capture_default_str();
    command->add_option("--eps", options->epsilon)->check(in(kPositive))->capture_default_str();
    command->add_option("--clip", options->clip, "Gradient norm, 0 = off")
        ->check(in(kNotNegative))
        ->capture_default_str();
    add_device(*command, *device);
    add_tf32(*command, *tf32);
    add_common(*command, common);
    command->footer(
        "Example: dropforge parity --model DIR --batch batch.safetensors --method dense --precision f32 --out "
        "result.safetensors");
    command->callback([options, device, tf32, &common] {
        use_threads(common);
        const Device chosen = choose_device(*device);
        require_computes(chosen, options->dtype);
        options->kernels = *tf32 ? with_tf32(chosen, options->dtype).kernels : chosen.kernels;
        parity(*options);
    });
}

}  // namespace dropforge
