// dropforge curve: the validation loss of runs over the number of tokens.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "apps/loss_curve.h"
#include "base/json.h"
#include "report/run_metrics.h"

namespace dropforge {

namespace {

struct Options {
    std::vector<std::string> runs;
    fs::path svg;
};

LossCurve read_argument(const std::string& argument) {
    const auto [label, folder] = report::LabelledRun::parse(argument);
    return read_loss_curve(label.empty() ? folder : label, folder);
}

std::string as_json(const std::vector<LossCurve>& curves) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const LossCurve& curve : curves) {
        nlohmann::ordered_json points = nlohmann::ordered_json::array();
        for (const LossPoint& point : curve.points)
            points.push_back({{"step", point.step}, {"tokens", point.tokens}, {"loss", point.loss}});
        list.push_back({{"label", curve.label}, {"run", curve.run}, {"points", points}});
    }
    return json_text(list) + "\n";
}

void draw(const Options& options, const CommonOptions& common) {
    std::vector<LossCurve> curves;
    for (const std::string& argument : options.runs) curves.push_back(read_argument(argument));
    if (!options.svg.empty()) write_text(options.svg, curves_as_svg(curves));
    fmt::print("{}", common.json ? as_json(curves) : curves_as_text(curves));
}

}  // namespace

void add_curve(CLI::App& app, CommonOptions& common) {
    auto* command = app.add_subcommand(
        "curve",
        "Draw the validation loss of runs over the number of tokens trained on\n\n"
        "Prints a diagram of the evaluations in the metrics.jsonl of each run folder (key eval.every).");
    auto options = std::make_shared<Options>();
    command
        ->add_option("runs", options->runs, "Run folders, each as RUN or LABEL=RUN; those of one label are drawn alike")
        ->required()
        ->type_name("[LABEL=]RUN");
    command->add_option("--svg", options->svg, "Also write the diagram to this file")->type_name("FILE");
    add_common(*command, common);
    command->footer(
        "Examples:\n"
        "  dropforge curve runs/demo\n"
        "  dropforge curve dense=runs/dense-1 dense=runs/dense-2 ScTD=runs/sctd --svg curve.svg");
    command->callback([options, &common] { draw(*options, common); });
}

}  // namespace dropforge
