// dropforge inspect: what a file or folder is, and whether it is whole.
#include "model/inspect.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "base/error.h"

namespace dropforge {

void add_inspect(CLI::App& app, CommonOptions& common) {
    auto* command = app.add_subcommand(
        "inspect", "A configuration, data folder, shard, checkpoint or run: what it is, whether it is whole");
    auto what = std::make_shared<std::string>();
    auto svg = std::make_shared<fs::path>();
    command->add_option("what", *what, "Preset, CONFIG.toml, data folder, shard, checkpoint, run folder")->required();
    command->add_option("--svg", *svg, "Draw a configuration's memory plans");
    add_common(*command, common);
    command->footer("Example: dropforge inspect bert-base --svg plan.svg");
    command->callback([what, svg, &common] {
        use_threads(common);
        const Inspection result = inspect(*what, *svg);
        fmt::print("{}", common.json ? result.json.dump() + "\n" : result.text);
        require(result.fault.empty(), "{}", result.fault);
    });
}

}  // namespace dropforge
