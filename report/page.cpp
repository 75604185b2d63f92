#include "report/page.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>

#include "report/html.h"
#include "report/sections.h"
#include "report/style.h"
#include "report/time_to_loss.h"

namespace dropforge::report {

namespace {

std::string title(const Runs& runs) {
    if (runs.empty()) return "Fine-tuning";
    return runs.size() == 1 ? "Run " + runs.front().name : fmt::format("{} pretraining runs", runs.size());
}

/// What a reader wants to know first: the lowest loss, and the most time saved.
std::string summary(const Runs& runs) {
    std::string text;
    const ReportedRun* best = nullptr;
    Point lowest{};
    for (const ReportedRun& run : runs)
        for (const Point& point : run.validation_loss(Against::steps))
            if (best == nullptr || point.y < lowest.y) {
                best = &run;
                lowest = point;
            }
    if (best != nullptr)
        text = fmt::format("Lowest validation loss: <b>{:.4f}</b> nats a masked token, {} after {:.0f} steps. ",
                           lowest.y, escaped(best->name), lowest.x);
    const std::vector<TimeToLoss> times = times_to_loss(runs);
    const auto most = std::ranges::max_element(
        times, {}, [&](const TimeToLoss& time) { return saving(runs, time, Against::seconds); });
    if (most == times.end()) return text;
    const double saved = saving(runs, *most, Against::seconds);
    return text + fmt::format("{} reaches {:.3f} in <b>{:.1f} % {}</b> training time than {}.",
                              escaped(runs[most->run].name), most->loss, 100 * std::abs(saved),
                              saved < 0 ? "more" : "less", escaped(runs[most->dense].name));
}

}  // namespace

std::string page(const Reported& reported, const std::string& written, int refresh) {
    const Runs& runs = reported.runs;
    const std::string again =
        refresh > 0 ? fmt::format("<meta http-equiv=\"refresh\" content=\"{}\"/>\n", refresh) : "";
    std::string text = fmt::format(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
        "<meta name=\"color-scheme\" content=\"light "
        "dark\"/>\n{}<title>{}</title>\n<style>{}{}</style>\n</head>\n<body>\n"
        "<small>Dropforge · {}</small>\n<h1>{}</h1>\n<p>{}</p>\n",
        again, escaped(title(runs)), kPlotStyle, kPageStyle, escaped(written), escaped(title(runs)), summary(runs));
    text += task_section(reported.models);
    if (runs.empty()) return text + "</body>\n</html>\n";
    for (const auto section : {runs_section, loss_section, time_to_loss_section, token_section, speed_section,
                               op_section, memory_section, difference_section, command_section})
        text += section(runs);
    return text + "</body>\n</html>\n";
}

void write_page(const fs::path& file, const PageSources& sources, const std::string& revision, int refresh) {
    const std::string written =
        fmt::format("{:%Y-%m-%d %H:%M} UTC · revision {}", fmt::gmtime(std::time(nullptr)), revision);
    write_text(file, page({read_runs(sources.runs), read_task_results(sources.tasks)}, written, refresh));
}

}  // namespace dropforge::report
