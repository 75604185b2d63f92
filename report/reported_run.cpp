#include "report/reported_run.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "report/style.h"

namespace dropforge::report {

namespace {

/// The vocab.txt of a run, of its data or of a checkpoint; empty where both are gone.
fs::path vocabulary_of(const ReportedRun& run) {
    std::vector<fs::path> places = {fs::path(run.config->data.path) / "vocab.txt"};
    if (run.checkpoint) places.push_back(run.checkpoint->path / "vocab.txt");
    const auto found = std::ranges::find_if(places, [](const fs::path& place) { return fs::is_regular_file(place); });
    return found == places.end() ? fs::path() : *found;
}

/// The configuration without what changes no Program; computed in what this machine computes with as many bytes.
RunConfig what_is_planned(RunConfig config, const data::Vocabulary& vocabulary) {
    const TrainOptions defaults;
    config.model.vocabulary = vocabulary.size();
    config.model.special = vocabulary.special();
    config.data.path.clear();
    config.train.seed = defaults.seed;
    config.train.lr = defaults.lr;
    config.train.end_lr = defaults.end_lr;
    config.train.tf32 = false;
    if (config.train.precision == Precision::fp16) config.train.precision = Precision::bf16;
    config.eval = {};
    config.checkpoint = {};
    config.log = {};
    return config;
}

/// FLOPs executed until each of these steps, which ascend.
std::vector<Point> executed_flops(const RunPlan& plan, const std::set<int64_t>& steps) {
    std::vector<double> of_kind(plan.method->kinds().size());
    for (const StepKind kind : plan.kinds) of_kind[static_cast<size_t>(kind)] = plan.programs->flops(kind);
    std::vector<Point> points = {{0, 0}};
    double flops = 0;
    int64_t done = 0;
    for (const int64_t step : steps) {
        while (done < step) flops += of_kind[static_cast<size_t>(plan.method->kind(++done))];
        points.push_back({static_cast<double>(step), flops});
    }
    return points;
}

std::set<int64_t> steps_of(const RunMetrics& metrics) {
    std::set<int64_t> steps;
    for (const LoggedStep& step : metrics.steps()) steps.insert(step.step);
    for (const LoggedEvaluation& evaluation : metrics.evaluations()) steps.insert(evaluation.step);
    return steps;
}

/// The points of values that are there.
template <typename Item>
std::vector<Point> curve(const ReportedRun& run, const std::vector<Item>& items, Against against) {
    std::vector<Point> points;
    for (const Item& item : items)
        if (!std::isnan(item.loss)) points.push_back({run.x_at(static_cast<double>(item.step), against), item.loss});
    std::ranges::stable_sort(points, {}, &Point::x);  // as they are, but in a file that somebody wrote
    return points;
}

/// As short as tells the folders apart: their last parts.
std::vector<std::string> short_names(const std::vector<fs::path>& folders) {
    std::vector<std::vector<fs::path>> parts;
    size_t most = 0;
    for (const fs::path& folder : folders) {
        const fs::path full = fs::absolute(folder / "").lexically_normal().parent_path();
        parts.emplace_back(full.begin(), full.end());
        most = std::max(most, parts.back().size());
    }
    const auto names = [&](size_t count) {
        std::vector<std::string> all;
        for (const auto& part : parts) {
            fs::path name;
            for (size_t i = part.size() - std::min(count, part.size()); i < part.size(); ++i) name /= part[i];
            all.push_back(name.string());
        }
        return all;
    };
    for (size_t count = 1; count < most; ++count)
        if (auto short_ones = names(count); std::set(short_ones.begin(), short_ones.end()).size() == folders.size())
            return short_ones;
    return names(most);
}

/// One style for each value of `key`, in the order of the runs; how many there are.
template <typename Key>
size_t set_styles(std::vector<ReportedRun>& runs, const Key& key) {
    std::vector<std::string> values;
    for (ReportedRun& run : runs) {
        const auto known = std::ranges::find(values, key(run));
        run.style = static_cast<size_t>(known - values.begin());
        if (known == values.end()) values.push_back(key(run));
    }
    return values.size();
}

}  // namespace

double ReportedRun::x_at(double step, Against against) const {
    switch (against) {
        case Against::tokens:
            return metrics.tokens_at(step);
        case Against::flops:
            return value_at(flops, step);
        case Against::seconds:
            return metrics.seconds_at(step);
        case Against::steps:
            break;
    }
    return step;
}

std::vector<Point> ReportedRun::validation_loss(Against against) const {
    return curve(*this, metrics.evaluations(), against);
}

std::vector<Point> ReportedRun::training_loss(Against against) const { return curve(*this, metrics.steps(), against); }

ReportedRun RunReader::read(const std::string& name, const fs::path& folder) {
    ReportedRun run{.name = name,
                    .folder = folder,
                    .metrics = RunMetrics(folder),
                    .config = recorded_config(folder),
                    .checkpoint = {},
                    .plan = {},
                    .flops = {}};
    require(!run.metrics.steps().empty(), "{}: no step yet: log.every says how often a run logs one",
            (folder / "metrics.jsonl").string());
    if (const std::vector<Checkpoint> all = list_checkpoints(folder); !all.empty()) run.checkpoint = all.back();
    if (!run.config) return run;
    run.plan = plan(run);
    if (run.plan) run.flops = executed_flops(*run.plan, steps_of(run.metrics));
    return run;
}

std::shared_ptr<const RunPlan> RunReader::plan(const ReportedRun& run) {
    const fs::path file = vocabulary_of(run);
    if (file.empty()) return {};
    const RunConfig config = what_is_planned(*run.config, data::Vocabulary::load(file));
    const std::string key = fmt::format("{}\n{}", config.model.vocabulary, config.to_toml());
    auto& known = plans_[key];
    if (!known) known = std::make_shared<const RunPlan>(config);
    return known;
}

std::vector<ReportedRun> read_runs(const std::vector<std::string>& arguments) {
    std::vector<LabelledRun> given;
    std::vector<fs::path> folders;
    for (const std::string& argument : arguments) {
        given.push_back(LabelledRun::parse(argument));
        folders.push_back(given.back().folder);
    }
    const std::vector<std::string> names = short_names(folders);
    RunReader reader;
    std::vector<ReportedRun> runs;
    for (size_t i = 0; i < given.size(); ++i)
        runs.push_back(reader.read(given[i].label.empty() ? names[i] : given[i].label, given[i].folder));
    const auto name_of = [](const ReportedRun& run) { return run.name; };
    const auto method_of = [](const ReportedRun& run) { return run.config ? run.config->train.method : ""; };
    if (set_styles(runs, name_of) > kColours * kDashes) set_styles(runs, method_of);
    return runs;
}

}  // namespace dropforge::report
