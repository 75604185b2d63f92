// dropforge inspect: the content of a file or folder, and whether it is intact.
#include "apps/inspection.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "base/error.h"
#include "base/json.h"

namespace dropforge {

namespace {

/// Units of memory: as it is sold (GB), and as systems count it (GiB).
const std::map<std::string, double> kUnits = {{"B", 1},        {"KB", 1e3},     {"MB", 1e6},
                                              {"GB", 1e9},     {"TB", 1e12},    {"KiB", 0x1p10},
                                              {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40}};

}  // namespace

void add_inspect(CLI::App& app, CommonOptions& common) {
    auto* command = app.add_subcommand(
        "inspect",
        "Describe a configuration, data folder, shard, checkpoint or run, and check that it is intact\n\n"
        "Prints parameters, FLOPs and memory plans of a configuration. Verifies all checksums of data and "
        "checkpoints,\n"
        "and ends with exit status 1 if anything is damaged or missing.");
    auto what = std::make_shared<std::string>();
    auto options = std::make_shared<InspectOptions>();
    auto memory = std::make_shared<double>(0);
    command->add_option("what", *what, "A preset, CONFIG.toml, data folder, shard, checkpoint or run folder")
        ->required()
        ->type_name("WHAT");
    command
        ->add_option("--svg", options->svg,
                     "Write a drawing of a configuration's memory plans to this file, one file for each kind of step")
        ->type_name("FILE");
    command
        ->add_option("--memory", *memory,
                     "Print the largest micro-batch of a configuration that fits into this much memory (8GB, 80GiB), "
                     "for each sequence length and precision")
        ->transform(CLI::AsNumberWithUnit(kUnits, CLI::AsNumberWithUnit::CASE_INSENSITIVE, "SIZE"))
        ->check(CLI::Range(1.0, 1e18))
        ->excludes("--svg");
    add_common(*command, common);
    command->footer(
        "Examples:\n"
        "  dropforge inspect runs/demo\n"
        "  dropforge inspect data\n"
        "  dropforge inspect bert-base --svg plan.svg\n"
        "  dropforge inspect bert-large --memory 80GB");
    command->callback([what, options, memory, &common] {
        use_threads(common);
        options->memory = static_cast<int64_t>(*memory);
        const Inspection result = inspect(*what, *options);
        fmt::print("{}", common.json ? json_text(result.json) + "\n" : result.text);
        require(result.fault.empty(), "{}", result.fault);
    });
}

}  // namespace dropforge
