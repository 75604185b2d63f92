// dropforge metrics: the numbers of runs as a table.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "base/error.h"
#include "base/json.h"
#include "report/metrics_table.h"

namespace dropforge {

namespace {

struct Options {
    std::vector<std::string> runs;
    fs::path out;
};

void print_table(const Options& options, const CommonOptions& common) {
    require(options.out.empty() || !fs::exists(options.out), "{}: is there already", options.out.string());
    const report::MetricsTable table(options.runs);
    if (options.out.empty()) {
        fmt::print("{}", common.json ? json_text(table.json()) + '\n' : table.csv());
        return;
    }
    write_text(options.out, table.csv());
    if (common.json)
        fmt::print("{}\n", json_text({{"file", options.out.string()}, {"steps", table.rows()}}));
    else
        fmt::print("{}  {} steps\n", options.out.string(), table.rows());
}

}  // namespace

void add_metrics(CLI::App& app, CommonOptions& common) {
    auto* command = app.add_subcommand(
        "metrics",
        "Print what runs have logged as a table (CSV)\n\n"
        "The table has a row for each step in the metrics.jsonl of the runs, and a column for each number that it has\n"
        "(docs/metrics.md), as Weights & Biases exports them: of several runs they are called \"RUN - NAME\".\n"
        "What a step does not have is empty.");
    auto options = std::make_shared<Options>();
    command->add_option("runs", options->runs, "Run folders, each as RUN or LABEL=RUN, which gives it another name")
        ->required()
        ->type_name("[LABEL=]RUN");
    command
        ->add_option("--out", options->out, "Write the table to this file, which is not there yet, instead of stdout")
        ->type_name("FILE.csv");
    add_common(*command, common);
    command->footer(
        "Examples:\n"
        "  dropforge metrics runs/demo --out demo.csv\n"
        "  dropforge metrics dense=runs/dense ScTD=runs/sctd | column -s, -t");
    command->callback([options, &common] { print_table(*options, common); });
}

}  // namespace dropforge
