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
    add_choice(command, "--method", o.method, kMethodNames, "Pretraining method");
    command
        .add_option_function<int64_t>(
            "--keep",
            [&o](int64_t keep) {
                o.dropping.keep = {static_cast<double>(keep), false};
            },
            "Tokens of a sequence that stay (default: half)")
        ->transform(whole_number<int64_t>(1, 65536));
    command
        .add_option("--importance-beta", o.dropping.importance_beta, "Decay of the importance table's moving average")
        ->check(in(kBelowOne))
        ->capture_default_str();
    command.add_option("--lambda", o.sctd.lambda, "Weight of the divergences in the loss of ScTD")
        ->check(in(kNotNegative))
        ->capture_default_str();
    add_choice(command, "--pooled", o.sctd.pooled, kPoolingNames,
               "Rows that the global divergence compares: [CLS], or the mean of all");
    add_choice(command, "--kl-normalization", o.sctd.kl_normalization, kKlNormalizationNames,
               "What the sums of the divergences are divided by");
    static constexpr std::array kSwitch{"off", "on"};
    add_choice(command, "--share-trunk", o.sctd.share_trunk, kSwitch,
               "Run the layers before the first dropped token once for both passes");
    add_choice(command, "--full-mlm", o.sctd.full_mlm, kSwitch, "Compute MLM and NSP losses in the full pass too");
    add_choice(command, "--recompute", o.sctd.recompute, kSwitch,
               "Run the pass with dropped tokens forward twice, to save memory");
}

}  // namespace

void add_parity(CLI::App& app, CommonOptions& common) {
    auto* command = app.add_subcommand(
        "parity",
        "Run one training step on a given batch and write every number: states, losses, gradients, updated weights");
    auto options = std::make_shared<ParityOptions>();
    auto device = std::make_shared<std::string>("cpu");
    auto tf32 = std::make_shared<bool>(false);
    command->add_option("--model", options->model, "A model folder in Hugging Face's format")
        ->required()
        ->type_name("FOLDER");
    command->add_option("--batch", options->batch, "The batch, a safetensors file")->required()->type_name("FILE");
    command->add_option("--out", options->out, "Where the result goes, a safetensors file")
        ->required()
        ->type_name("FILE");
    add_method(*command, *options);
    add_choice(*command, "--precision", options->dtype, kPrecisionNames,
               "Precision of weights, activations and their gradients");
    command->add_option("--steps", options->steps, "Optimizer steps on the batch; 0: losses and gradients only")
        ->transform(whole_number<int64_t>(0));
    static constexpr std::array kOptimizers{"adamw", "lamb"};
    add_choice(*command, "--optimizer", options->optimizer, kOptimizers, "Optimizer of these steps");
    command->add_option("--lr", options->lr, "Learning rate, the same in every step")
        ->check(in(kNotNegative))
        ->capture_default_str();
    command->add_option("--weight-decay", options->weight_decay, "Weight decay")
        ->check(in(kNotNegative))
        ->capture_default_str();
    command->add_option("--beta1", options->beta1, "Decay of the first moment")
        ->check(in(kBelowOne))
        ->capture_default_str();
    command->add_option("--beta2", options->beta2, "Decay of the second moment")
        ->check(in(kBelowOne))
        ->capture_default_str();
    command->add_option("--eps", options->epsilon, "Added to the root of the second moment")
        ->check(in(kPositive))
        ->capture_default_str();
    command->add_option("--clip", options->clip, "Clip the norm of the gradients to this; 0: do not clip")
        ->check(in(kNotNegative))
        ->capture_default_str();
    add_device(*command, *device);
    add_tf32(*command, *tf32);
    add_common(*command, common);
    command->footer(
        "Example: dropforge parity --model model/ --batch batch.safetensors --method dense --out result.safetensors\n"
        "The tensors of both files are described in docs/parity.md.");
    command->callback([options, device, tf32, &common] {
        use_threads(common);
        const Device chosen = choose_device(*device);
        require_computes(chosen, options->dtype);
        options->kernels = *tf32 ? with_tf32(chosen, options->dtype).kernels : chosen.kernels;
        parity(*options);
    });
}

}  // namespace dropforge
