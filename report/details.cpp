// Sections that look into single runs: time by op, memory, tokens, configuration, command.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <optional>

#include "base/error.h"
#include "engine/plan_svg.h"
#include "model/checkpoint/checkpoint.h"
#include "report/configurations.h"
#include "report/html.h"
#include "report/op_times.h"
#include "report/sections.h"
#include "report/step_batch.h"

namespace dropforge::report {

namespace {

constexpr size_t kOpsShown = 16, kPlansShown = 4, kRunsWithText = 3, kTokensShown = 160;
constexpr int64_t kSequencesShown = 3;
constexpr int kShades = 8;  // of importance; classes i0 … in style.cpp

std::string op_table(const ReportedRun& run) {
    const std::vector<OpTotal> times = op_times(run.folder / "trace.json");
    double all = 0;
    for (const OpTotal& time : times) all += time.seconds;
    Table table({"op", "", "share", "time", "calls", "GFLOP/s"}, 2);
    OpTotal others{.name = "all others"};
    const auto add = [&](const OpTotal& time) {
        table.add(
            {escaped(time.name),
             fmt::format("<span class=\"bar\" style=\"width:{:.2f}%\"></span>", 100 * time.seconds / times[0].seconds),
             fmt::format("{:.1f} %", 100 * time.seconds / all), fmt::format("{:.2f} ms", 1e3 * time.seconds),
             std::to_string(time.calls),
             time.flops > 0 ? fmt::format("{:.0f}", time.flops / time.seconds * 1e-9) : ""});
    };
    for (size_t i = 0; i < times.size(); ++i) {
        if (i < kOpsShown) {
            add(times[i]);
        } else {
            others.seconds += times[i].seconds;
            others.flops += times[i].flops;
            others.calls += times[i].calls;
        }
    }
    if (others.calls > 0) add(others);
    return fmt::format("<h3>{}</h3>\n<div class=\"bars\">{}</div>\n", marked_name(run), table.html());
}

/// The Program that decides how large the arena is.
const PlannedProgram& largest_program(const RunPlan& plan) {
    const std::vector<const PlannedProgram*> all = plan.programs->all();
    return **std::ranges::max_element(all, {}, [](const PlannedProgram* program) { return program->plan.bytes; });
}

/// Of the tokens that are shown.
struct ImportanceRange {
    float low = std::numeric_limits<float>::max(), high = std::numeric_limits<float>::lowest();

    void add(const std::optional<float>& value) {
        if (!value) return;
        low = std::min(low, *value);
        high = std::max(high, *value);
    }
    /// 0 … kShades − 1.
    int shade(const std::optional<float>& value) const {
        if (!value || high <= low) return 0;
        return std::min(kShades - 1, static_cast<int>((*value - low) / (high - low) * kShades));
    }
};

/// `joins`: after a piece of its word.
std::string token_html(const BatchToken& token, bool joins, const ImportanceRange& range) {
    if (token.special) return fmt::format(" <span class=\"border\">{}</span>", escaped(token.piece));
    std::string shown = token.label.empty() ? token.piece : token.label, title;
    if (shown.starts_with("##")) shown.erase(0, 2);
    if (!token.label.empty()) title = fmt::format("to be predicted; the model reads {}", token.piece);
    if (token.importance) title += fmt::format("{}importance {:.2f}", title.empty() ? "" : "; ", *token.importance);
    if (!token.kept) title += ", dropped";
    return fmt::format("{}<span class=\"i{}{}{}\" title=\"{}\">{}</span>", joins ? "" : " ",
                       range.shade(token.importance), token.kept ? "" : " dropped",
                       token.label.empty() ? "" : " masked", escaped(title), escaped(shown));
}

std::string text_of_step(const ReportedRun& run) {
    const int64_t step = run.checkpoint->step + 1;
    const StepBatch batch = read_step_batch(*run.config, step, kSequencesShown, run.checkpoint->path);
    if (batch.kept == 0) return {};
    ImportanceRange range;
    for (const BatchSequence& sequence : batch.sequences)
        for (const BatchToken& token : sequence.tokens) range.add(token.importance);
    std::string text = fmt::format("<h3>{}, step {}: {} of {} tokens stay</h3>\n", marked_name(run), step, batch.kept,
                                   run.config->data.sequence);
    for (const auto& [tokens, label] : batch.sequences) {
        text += "<p class=\"text\">";
        for (size_t i = 0; i < std::min(tokens.size(), kTokensShown); ++i) {
            const std::string& piece = tokens[i].label.empty() ? tokens[i].piece : tokens[i].label;
            text += token_html(tokens[i], piece.starts_with("##") && !tokens[i - 1].special, range);
        }
        text += tokens.size() > kTokensShown ? " …</p>\n" : "</p>\n";
    }
    return text;
}

std::string made_by(const ReportedRun& run, const TrainingState& state) {
    return fmt::format("<p class=\"soft\">checkpoint of step {}: revision {}{}</p>\n", run.checkpoint->step,
                       escaped(state.revision), state.kernels.empty() ? "" : ", kernels " + escaped(state.kernels));
}

}  // namespace

std::string op_section(const Runs& runs) {
    std::string text;
    for (const ReportedRun& run : runs)
        if (fs::exists(run.folder / "trace.json")) text += op_table(run);
    if (text.empty()) return {};
    return "<section>\n<h2>Time by op</h2>\n<p>Of the steps that <code>--trace</code> has timed, the ops of all layers "
           "together.</p>\n" +
           text + "</section>\n";
}

std::string memory_section(const Runs& runs) {
    std::vector<std::pair<const RunPlan*, std::string>> plans;  // with the names of its runs
    for (const ReportedRun& run : runs) {
        if (!run.plan) continue;
        const auto same = std::ranges::find(plans, run.plan.get(), [](const auto& plan) { return plan.first; });
        if (same == plans.end())
            plans.emplace_back(run.plan.get(), marked_name(run));
        else
            same->second += ", " + marked_name(run);
    }
    if (plans.empty()) return {};
    std::string text =
        "<section>\n<h2>Memory plan</h2>\n<p>Activations on a CPU, of the Program that takes most: each rectangle is a "
        "tensor, from the op that makes it to the last that reads it, at its place in the arena; a colour a layer. The "
        "line is what is alive.</p>\n";
    for (size_t i = 0; i < std::min(plans.size(), kPlansShown); ++i) {
        const auto& [program, plan] = largest_program(*plans[i].first);
        text += fmt::format("<h3>{}</h3>\n<div class=\"wide\">{}</div>\n", plans[i].second, plan_svg(program, plan));
    }
    if (plans.size() > kPlansShown)
        text += fmt::format("<p class=\"soft\">{} more plans are not drawn.</p>\n", plans.size() - kPlansShown);
    return text + "</section>\n";
}

std::string token_section(const Runs& runs) {
    std::string text;
    size_t shown = 0;
    for (const ReportedRun& run : runs) {
        if (shown == kRunsWithText || !run.config || !run.checkpoint) continue;
        if (!fs::exists(fs::path(run.config->data.path) / data::Receipt::kFile)) continue;
        std::string part;
        try {
            part = text_of_step(run);
        } catch (const Error& error) {  // data that is not this run's any more
            part = fmt::format("<h3>{}</h3>\n<p class=\"soft\">Not shown: {}</p>\n", marked_name(run),
                               escaped(error.what()));
        }
        shown += part.empty() ? 0 : 1;
        text += part;
    }
    if (text.empty()) return {};
    return "<section>\n<h2>Kept and dropped tokens</h2>\n<p>What the step after the newest checkpoint reads. The "
           "stronger a token's colour, the higher its value in the checkpoint's importance table; struck out: left out "
           "of half the layers. Framed: to be predicted, never dropped where the model reads [MASK].</p>\n" +
           text + "</section>\n";
}

std::string difference_section(const Runs& runs) {
    std::vector<const RunConfig*> configurations;
    for (const ReportedRun& run : runs)
        if (run.config) configurations.push_back(&*run.config);
    const std::vector<std::string> keys = differing_keys(configurations);
    if (keys.empty()) return {};
    std::vector<std::string> heads = {"run"};
    for (const std::string& key : keys) heads.push_back(escaped(key));
    Table table(heads, heads.size());
    for (const ReportedRun& run : runs) {
        if (!run.config) continue;
        const std::map<std::string, std::string> values = values_of(*run.config);
        std::vector<std::string> cells = {marked_name(run)};
        for (const std::string& key : keys) cells.push_back(escaped(values.at(key)));
        table.add(cells);
    }
    return "<section>\n<h2>Differences of configuration</h2>\n<p>All other keys are the same; an empty cell is a key "
           "that the method does not read.</p>\n" +
           table.html() + "</section>\n";
}

std::string command_section(const Runs& runs) {
    std::string text;
    for (const ReportedRun& run : runs) {
        if (!run.config) continue;
        std::optional<TrainingState> state;
        if (run.checkpoint) state = load_training_state(run.checkpoint->path);
        text +=
            fmt::format("<h3>{}</h3>\n<pre>{}</pre>\n{}", marked_name(run),
                        escaped(pretrain_command(*run.config, run.folder.string(), state ? state->initial_path : "")),
                        state ? made_by(run, *state) : "");
    }
    if (text.empty()) return {};
    return "<section>\n<h2>Commands</h2>\n<p>What makes each run again, from the configuration that it "
           "recorded.</p>\n" +
           text + "</section>\n";
}

}  // namespace dropforge::report
