// Sections that compare runs: their table, losses, time to loss, speed.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "report/html.h"
#include "report/plot.h"
#include "report/sections.h"
#include "report/time_to_loss.h"

namespace dropforge::report {

namespace {

constexpr const char* kNone = "<span class=\"soft\">–</span>";

struct NamedAgainst {
    Against against;
    Axis axis;
};

const std::vector<NamedAgainst>& all_against() {
    static const std::vector<NamedAgainst> all = {{Against::tokens, {"tokens", Quantity::count}},
                                                  {Against::seconds, {"training time", Quantity::seconds}},
                                                  {Against::flops, {"executed FLOPs", Quantity::flops}},
                                                  {Against::steps, {"steps", Quantity::count}}};
    return all;
}

using Curve = std::vector<Point> (ReportedRun::*)(Against) const;

std::string loss_plots(const Runs& runs, const std::string& name, Curve curve) {
    std::string plots;
    for (const auto& [against, axis] : all_against()) {
        Plot plot{.x = axis, .y = {name, Quantity::number}, .series = {}};
        for (const ReportedRun& run : runs)
            if (run.has(against)) plot.series.push_back({run.name, run.style, (run.*curve)(against)});
        if (std::ranges::any_of(plot.series, [](const Series& series) { return !series.points.empty(); }))
            plots += plot_svg(plot);
    }
    return plots.empty() ? "" : "<div class=\"plots\">\n" + plots + "</div>\n";
}

/// A number of each logged step against tokens.
std::string step_plot(const Runs& runs, const Axis& axis, double LoggedStep::*value, bool from_zero) {
    Plot plot{.x = {"tokens", Quantity::count}, .y = axis, .series = {}, .from_zero = from_zero};
    for (const ReportedRun& run : runs) {
        Series series{run.name, run.style, {}};
        for (const LoggedStep& step : run.metrics.steps())
            if (!std::isnan(step.*value)) series.points.push_back({step.tokens, step.*value});
        std::ranges::stable_sort(series.points, {}, &Point::x);
        if (!series.points.empty()) plot.series.push_back(series);
    }
    return plot.series.empty() ? "" : plot_svg(plot);
}

/// The mean over a run, weighted by tokens: of MFU and speed; NaN if no line has it.
double mean(const ReportedRun& run, double LoggedStep::*value) {
    double sum = 0, weight = 0, before = 0;
    for (const LoggedStep& step : run.metrics.steps()) {
        if (!std::isnan(step.*value)) {
            sum += step.*value * (step.tokens - before);
            weight += step.tokens - before;
        }
        before = step.tokens;
    }
    return weight > 0 ? sum / weight : std::nan("");
}

std::string or_none(double value, const std::string& text) { return std::isnan(value) ? kNone : text; }

std::string percent(double share) { return fmt::format("{:.1f} %", 100 * share); }

std::string saved_text(const Runs& runs, const TimeToLoss& time, Against against) {
    if (!runs[time.run].has(against) || !runs[time.dense].has(against)) return kNone;
    const double saved = saving(runs, time, against);
    return fmt::format("<span{}>{}</span>", saved > 0 ? " class=\"good\"" : "", percent(saved));
}

/// "14.2 ± 1.1 %": the mean, and the standard deviation of a run.
std::string mean_saved_text(const Runs& runs, const std::vector<TimeToLoss>& times, Against against) {
    double sum = 0, squares = 0;
    for (const TimeToLoss& time : times) {
        if (!runs[time.run].has(against) || !runs[time.dense].has(against)) return kNone;
        const double saved = 100 * saving(runs, time, against);
        sum += saved;
        squares += saved * saved;
    }
    const auto count = static_cast<double>(times.size());
    const double mean = sum / count, variance = (squares - count * mean * mean) / (count - 1);
    return fmt::format("{:.1f} ± {:.1f} %", mean, std::sqrt(std::max(variance, 0.0)));
}

/// A row for each name that several runs have.
void add_means(const Runs& runs, const std::vector<TimeToLoss>& times, Table& table) {
    std::map<std::string, std::vector<TimeToLoss>> by_name;
    for (const TimeToLoss& time : times) by_name[runs[time.run].name].push_back(time);
    for (const auto& [name, all] : by_name)
        if (all.size() > 1)
            table.add({marked_name(runs[all.front().run]), fmt::format("mean of {}", all.size()), "", "", "",
                       mean_saved_text(runs, all, Against::seconds), mean_saved_text(runs, all, Against::flops),
                       mean_saved_text(runs, all, Against::tokens)});
}

}  // namespace

std::string marked_name(const ReportedRun& run) { return swatch_svg(run.style) + escaped(run.name); }

std::string runs_section(const Runs& runs) {
    Table table({"run", "method", "model", "steps", "tokens", "training loss", "validation loss", "lowest", "accuracy",
                 "training time", "tokens/s", "MFU"},
                3);
    for (const ReportedRun& run : runs) {
        const auto& evaluations = run.metrics.evaluations();
        const std::vector<Point> validation = run.validation_loss(Against::steps);
        const double last = static_cast<double>(run.metrics.last_step()), seconds = run.metrics.seconds_at(last);
        const double rate = run.metrics.tokens_at(last) / seconds, mfu = mean(run, &LoggedStep::mfu);
        const double loss = run.metrics.steps().back().loss;
        const auto& c = run.config;
        table.add(
            {marked_name(run), c ? escaped(c->train.method) : kNone,
             c ? fmt::format("{} × {}", c->model.layers, c->model.hidden) : kNone,
             c ? fmt::format("{:.0f} / {}", last, c->train.steps) : fmt::format("{:.0f}", last),
             text_of(run.metrics.tokens_at(last), Quantity::count), or_none(loss, fmt::format("{:.4f}", loss)),
             validation.empty() ? kNone : fmt::format("{:.4f}", validation.back().y),
             validation.empty() ? kNone : fmt::format("{:.4f}", std::ranges::min(validation, {}, &Point::y).y),
             evaluations.empty() ? kNone : or_none(evaluations.back().accuracy, percent(evaluations.back().accuracy)),
             seconds > 0 ? text_of(seconds, Quantity::seconds) : kNone,
             seconds > 0 ? text_of(rate, Quantity::count) : kNone, or_none(mfu, percent(mfu))});
    }
    return "<section>\n" + table.html() + "</section>\n";
}

std::string loss_section(const Runs& runs) {
    std::string text;
    if (const std::string plots = loss_plots(runs, "validation loss, nats", &ReportedRun::validation_loss);
        !plots.empty())
        text +=
            "<section>\n<h2>Validation loss</h2>\n<p>On masks that are the same in every evaluation. No token is "
            "dropped; a model of mask_later leaves [MASK] out of its first layers, as in training. Nats a masked "
            "token; numbers appear where the pointer rests.</p>\n" +
            plots + "</section>\n";
    if (const std::string plots = loss_plots(runs, "training loss, nats", &ReportedRun::training_loss); !plots.empty())
        text +=
            "<section>\n<h2>Training loss</h2>\n<p>The mean since the line before in metrics.jsonl. Where tokens are "
            "dropped it is that of the pass without them. Of many lines in one place the lowest and the highest are "
            "drawn.</p>\n" +
            plots + "</section>\n";
    return text;
}

std::string time_to_loss_section(const Runs& runs) {
    const std::vector<TimeToLoss> times = times_to_loss(runs);
    if (times.empty()) return {};
    Table table({"run", "beside", "loss that both reach", "training time", "dense", "time saved", "FLOPs saved",
                 "tokens saved"},
                2);
    for (const TimeToLoss& time : times) {
        const auto seconds = [&](size_t run, double step) {
            return text_of(runs[run].x_at(step, Against::seconds), Quantity::seconds);
        };
        table.add({marked_name(runs[time.run]), escaped(runs[time.dense].name), fmt::format("{:.4f}", time.loss),
                   seconds(time.run, time.run_step), seconds(time.dense, time.dense_step),
                   saved_text(runs, time, Against::seconds), saved_text(runs, time, Against::flops),
                   saved_text(runs, time, Against::tokens)});
    }
    add_means(runs, times, table);
    return "<section>\n<h2>Time to loss</h2>\n<p>How much sooner a run comes to a validation loss than the dense run "
           "whose configuration is nearest: at the worse of the two lowest losses, by straight lines between "
           "evaluations. Below 0: it takes longer.</p>\n" +
           table.html() + "</section>\n";
}

std::string speed_section(const Runs& runs) {
    const std::string plots =
        step_plot(runs, {"tokens a second", Quantity::count}, &LoggedStep::tokens_per_second, true) +
        step_plot(runs, {"MFU", Quantity::share}, &LoggedStep::mfu, true) +
        step_plot(runs, {"gradient norm", Quantity::number}, &LoggedStep::gradient_norm, true) +
        step_plot(runs, {"learning rate", Quantity::number}, &LoggedStep::learning_rate, true);
    if (plots.empty()) return {};
    return "<section>\n<h2>Speed and optimizer</h2>\n<p>MFU is the share of what the machine's own GEMM reaches. The "
           "gradient norm is taken before clipping.</p>\n<div class=\"plots\">\n" +
           plots + "</div>\n</section>\n";
}

}  // namespace dropforge::report
