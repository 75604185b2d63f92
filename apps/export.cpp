// dropforge export: a run's model, to be given away.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "base/command_line.h"
#include "base/json.h"
#include "export/export_model.h"

namespace dropforge {

void add_export(CLI::App& app, CommonOptions& common) {
    auto* command = app.add_subcommand(
        "export",
        "Write a run's model into a folder of its own, with a model card\n\n"
        "The folder has the weights and the tokenizer in Hugging Face's format, README.md with what the model was\n"
        "trained on and how, and parity.json with numbers by which another program can check that it reads it "
        "rightly.\n"
        "What only training needs (moments, states) is left out.");
    struct Options {
        fs::path run, out;
        int64_t step = -1;
    };
    auto options = std::make_shared<Options>();
    command->add_option("run", options->run, "A run folder")->required()->type_name("RUN");
    command->add_option("--out", options->out, "The folder to write, which is not there yet or empty")
        ->required()
        ->type_name("FOLDER");
    command->add_option("--step", options->step, "The checkpoint after this step; by default the newest")
        ->transform(whole_number<int64_t>(0, std::numeric_limits<int64_t>::max()));
    add_common(*command, common);
    command->footer(
        "Examples:\n"
        "  dropforge export runs/demo --out demo-bert\n"
        "  dropforge export runs/demo --step 5000 --out demo-bert-5000");
    command->callback([options, &common] {
        use_threads(common);
        const Exported exported = export_model(options->run, options->step, options->out);
        if (common.json)
            fmt::print("{}\n", json_text({{"model", options->out.string()},
                                          {"checkpoint", exported.checkpoint.string()},
                                          {"step", exported.step},
                                          {"files", exported.files}}));
        else
            fmt::print("{}  after step {}: {}\n", options->out.string(), exported.step,
                       fmt::join(exported.files, ", "));
    });
}

}  // namespace dropforge
