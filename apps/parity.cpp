// dropforge parity: one batch through a model, with all results written to a file for comparison.
#include "apps/parity_run.h"

#include <algorithm>
#include <cmath>

#include "apps/commands.h"
#include "base/command_line.h"
#include "base/error.h"
#include "devices/choice/choose_device.h"
#include "model/config/fields.h"

namespace dropforge {

namespace {

using config::kBelowOne, config::kNotNegative, config::kPositive;

/// Checks that a number is in `range`; unlike CLI11's checks, it refuses NaN.
CLI::Validator in(config::Range range) {
    const auto check = [range](const std::string& text) -> std::string {
        double x = 0;
        if (CLI::detail::lexical_cast(text, x) && range.holds(x)) return {};
        return "expected a number " + range.text() + ", got " + text;
    };
    return {check, range.text()};
}

const config::MethodKey& key_of(const MethodEntry& method, const std::string& name) {
    for (const config::MethodKey& key : method.keys)
        if (fmt::format("{}.{}", key.table, key.name) == name) return key;
    throw Error("{}: there is no key {}", method.name, name);
}

/// Adds an option of the type of its key's value.
struct AddOption {
    CLI::App& command;
    const config::MethodKey& key;
    const ParityOption& option;

    void operator()(double* slot) const {
        command.add_option(option.flag, *slot, option.help)->check(in(key.range))->capture_default_str();
    }
    void operator()(int64_t* slot) const {  // what a configuration counts from the end, parity does not
        const auto low = std::max<int64_t>(0, static_cast<int64_t>(key.range.low));
        command
            .add_option_function<int64_t>(
                option.flag, [slot](int64_t x) { *slot = x; }, option.help)
            ->transform(whole_number<int64_t>(low, static_cast<int64_t>(key.range.high)));
    }
    void operator()(CountOrShare* slot) const {
        command
            .add_option_function<int64_t>(
                option.flag,
                [slot](int64_t n) {
                    *slot = {static_cast<double>(n), false};
                },
                option.help)
            ->transform(whole_number<int64_t>(1, 65536));
    }
    void operator()(bool* slot) const {
        add_names(
            command, option.flag, {"off", "on"}, *slot ? 1 : 0, [slot](size_t n) { *slot = n == 1; }, option.help);
    }
    void operator()(const config::Choice& slot) const {
        add_names(command, option.flag, key.choices, slot.value, slot.assign, option.help);
    }
    template <typename Other>
    void operator()(const Other&) const {
        throw Error("{}: no option of parity can be of that type", option.key);
    }
};

void add_method(CLI::App& command, ParityOptions& o) {
    const std::vector<const char*> names = method_names();
    command.add_option("--method", o.method, "Pretraining method")
        ->check(CLI::IsMember(std::vector<std::string>(names.begin(), names.end())))
        ->capture_default_str();
    command.option_defaults()->group("Method");
    for (const MethodEntry& method : methods())
        for (const ParityOption& option : method.parity_options) {
            const config::MethodKey& key = key_of(method, option.key);
            std::visit(AddOption{command, key, option}, key.slot(o.method_options));
        }
    command.option_defaults()->group("Options");
}

}  // namespace

void add_parity(CLI::App& app, CommonOptions& common) {
    auto* command = app.add_subcommand(
        "parity",
        "Run one training step on a given batch and write hidden states, losses, gradients and updated weights\n\n"
        "For comparisons with other implementations of BERT; docs/parity.md describes the tensors of both files.");
    auto options = std::make_shared<ParityOptions>();
    auto device = std::make_shared<std::string>("cpu");
    auto tf32 = std::make_shared<bool>(false);
    command->add_option("--model", options->model, "A model folder in Hugging Face's format")
        ->required()
        ->type_name("FOLDER");
    command->add_option("--batch", options->batch, "The batch, a safetensors file")->required()->type_name("FILE");
    command->add_option("--out", options->out, "The result, a safetensors file")->required()->type_name("FILE");
    add_method(*command, *options);
    add_choice(*command, "--precision", options->dtype, kPrecisionNames,
               "Precision of weights, activations and their gradients");
    command
        ->add_option("--steps", options->steps, "Number of optimizer steps on the batch; 0: only losses and gradients")
        ->transform(whole_number<int64_t>(0));
    command->option_defaults()->group("Optimizer");
    static constexpr std::array kOptimizers{"adamw", "lamb"};
    add_choice(*command, "--optimizer", options->optimizer.kind, kOptimizers, "Optimizer of these steps");
    command->add_option("--lr", options->lr, "Learning rate, the same in every step")
        ->check(in(kNotNegative))
        ->capture_default_str();
    command->add_option("--weight-decay", options->optimizer.weight_decay, "Weight decay")
        ->check(in(kNotNegative))
        ->capture_default_str();
    command->add_option("--beta1", options->optimizer.beta1, "Decay of the first moment")
        ->check(in(kBelowOne))
        ->capture_default_str();
    command->add_option("--beta2", options->optimizer.beta2, "Decay of the second moment")
        ->check(in(kBelowOne))
        ->capture_default_str();
    command->add_option("--eps", options->optimizer.epsilon, "Added to the root of the second moment")
        ->check(in(kPositive))
        ->capture_default_str();
    command->add_option("--clip", options->optimizer.clip, "Clip the norm of the gradients to this; 0: do not clip")
        ->check(in(kNotNegative))
        ->capture_default_str();
    command->option_defaults()->group("Options");
    add_device(*command, *device);
    add_tf32(*command, *tf32);
    add_common(*command, common);
    command->footer(
        "Example: dropforge parity --model model/ --batch batch.safetensors --method dense --out result.safetensors");
    command->callback([options, device, tf32, &common] {
        use_threads(common);
        const Device chosen = choose_device(*device);
        require_computes(chosen, options->dtype);
        options->kernels = *tf32 ? with_tf32(chosen, options->dtype).kernels : chosen.kernels;
        parity(*options);
    });
}

}  // namespace dropforge
