// dropforge report: runs on one page.
#include <fmt/format.h>

#include <chrono>
#include <exception>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "apps/commands.h"
#include "base/command_line.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/revision.h"
#include "report/page.h"

namespace dropforge {

namespace {

struct Options {
    report::PageSources sources;
    fs::path out;
    int watch = 0;  // seconds
};

/// Until a signal comes, after which the last page asks no browser to load it again. Files of a run that goes on may
/// change while they are read: the next time will do.
void watch(const Options& options, const CommonOptions& common) {
    using Clock = std::chrono::steady_clock;
    const InterruptGuard interrupt;
    for (bool more = true; more;) {
        const auto next = Clock::now() + std::chrono::seconds(options.watch);
        while (Clock::now() < next && interrupt.signal() == 0)
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
        more = interrupt.signal() == 0;
        try {
            report::write_page(options.out, options.sources, kRevision, more ? options.watch : 0);
        } catch (const std::exception& error) {
            print_notes({error.what()}, common);
        }
    }
    throw Interrupted{interrupt.signal()};
}

void make_report(const Options& options, const CommonOptions& common) {
    use_threads(common);  // a memory plan has scratch for each
    report::write_page(options.out, options.sources, kRevision, options.watch);
    if (common.json)
        fmt::print("{}\n", json_text({{"report", options.out.string()}, {"runs", options.sources.runs.size()}}));
    else
        fmt::print("{}\n", options.out.string());
    if (options.watch == 0) return;
    std::fflush(stdout);  // said before the wait
    watch(options, common);
}

}  // namespace

void add_report(CLI::App& app, CommonOptions& common) {
    auto* command = app.add_subcommand(
        "report",
        "Put runs on one page: losses, time saved, speed, memory, tokens, configuration\n\n"
        "Writes one HTML file that needs no other, no network and no scripts. What it shows is in docs/report.md.");
    auto options = std::make_shared<Options>();
    command
        ->add_option("runs", options->sources.runs,
                     "Run folders, each as RUN or LABEL=RUN; those of one label are drawn alike")
        ->type_name("[LABEL=]RUN");
    command
        ->add_option("--tasks", options->sources.tasks,
                     "Folders of `finetune`, one a model: of a task, of a suite, or with a folder for each task")
        ->type_name("[LABEL=]FOLDER");
    command->add_option("--out", options->out, "The file to write, in a folder that is there")
        ->required()
        ->type_name("FILE.html");
    command
        ->add_option(
            "--watch", options->watch,
            "Write it again every so many seconds, while the runs go on, until Ctrl-C; a browser that shows it "
            "keeps up")
        ->transform(whole_number<int>(1, 86'400));
    add_common(*command, common);
    command->footer(
        "Examples:\n"
        "  dropforge report runs/dense runs/sctd --out report.html\n"
        "  dropforge report dense=runs/dense-1 dense=runs/dense-2 ScTD=runs/sctd --out report.html --watch 30\n"
        "  dropforge report runs/dense runs/sctd --tasks dense=glue/dense ScTD=glue/sctd --out report.html");
    command->callback([options, &common] {
        if (options->sources.runs.empty() && options->sources.tasks.empty())
            throw CLI::RequiredError("a run, or --tasks");
        make_report(*options, common);
    });
}

}  // namespace dropforge
