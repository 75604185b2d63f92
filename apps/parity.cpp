// dropforge parity: one batch through a model, every number written to a file that tests compare.
#include "model/parity.h"

#include "apps/commands.h"

namespace dropforge {

void add_parity(CLI::App& app, CommonOptions& common) {
    auto* command =
        app.add_subcommand("parity", "One step on a given batch: states, losses, gradients, updated weights");
    auto options = std::make_shared<ParityOptions>();
    command->add_option("--model", options->model, "Hugging Face directory")->required();
    command->add_option("--batch", options->batch, "Batch file (safetensors)")->required();
    command->add_option("--out", options->out, "Result file (safetensors)")->required();
    auto method = std::make_shared<std::string>("dense");
    command->add_option("--method", *method, "Method")->check(CLI::IsMember({"dense"}))->capture_default_str();
    command->add_option("--precision", options->dtype, "f32 or bf16")
        ->transform(CLI::CheckedTransformer(std::map<std::string, DType>{{"f32", DType::f32}, {"bf16", DType::bf16}}));
    command->add_option("--steps", options->steps, "Optimizer steps on the batch")->check(CLI::NonNegativeNumber);
    command->add_option("--optimizer", options->optimizer, "adamw or lamb")
        ->transform(CLI::CheckedTransformer(
            std::map<std::string, ops::Optimizer>{{"adamw", ops::Optimizer::adamw}, {"lamb", ops::Optimizer::lamb}}));
    command->add_option("--lr", options->lr, "Learning rate, constant")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    command->add_option("--weight-decay", options->weight_decay)->check(CLI::NonNegativeNumber)->capture_default_str();
    command->add_option("--beta1", options->beta1)->check(CLI::Range(0.0, 0.999999))->capture_default_str();
    command->add_option("--beta2", options->beta2)->check(CLI::Range(0.0, 0.999999))->capture_default_str();
    command->add_option("--eps", options->epsilon)->check(CLI::PositiveNumber)->capture_default_str();
    command->add_option("--clip", options->clip, "Gradient norm, 0 = off")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    add_common(*command, common);
    command->footer(
        "Example: dropforge parity --model DIR --batch batch.safetensors --method dense --precision f32 --out "
        "result.safetensors");
    command->callback([options, method, &common] {
        use_threads(common);
        parity(*options);
    });
}

}  // namespace dropforge
