// The command line of dropforge.
#include <fmt/format.h>
#include <omp.h>

#include <algorithm>

#include "apps/commands.h"
#include "base/command_line.h"
#include "base/revision.h"
#include "devices/build_info.h"
#include "devices/choice/choose_device.h"

namespace dropforge {

void add_common(CLI::App& command, CommonOptions& common) {
    command.add_flag("--quiet", common.quiet, "Print no progress and no notes on stderr")->group(kCommonOptions);
    command.add_flag("--json", common.json, "Print the result as JSON on stdout")->group(kCommonOptions);
    add_threads(command, common.threads);
}

CLI::Option* add_names(CLI::App& command, const std::string& flag, const std::vector<const char*>& names, size_t now,
                       const std::function<void(size_t)>& assign, const std::string& help) {
    const std::vector<std::string> allowed(names.begin(), names.end());
    const auto choose = [allowed, assign](const std::string& name) {
        assign(static_cast<size_t>(std::ranges::find(allowed, name) - allowed.begin()));
    };
    return command.add_option_function<std::string>(flag, choose, help)
        ->check(CLI::IsMember(allowed))
        ->default_str(allowed[now]);
}

void print_notes(const std::vector<std::string>& notes, const CommonOptions& common) {
    if (common.quiet) return;
    for (const std::string& note : notes) fmt::print(stderr, "note: {}\n", note);
}

void add_normalization(CLI::App& command, data::Normalization& normalization) {
    static constexpr std::array kSwitch{"off", "on"};
    const auto keep = [&normalization] { normalization.lower_case = normalization.strip_accents = false; };
    command.add_flag_callback("--cased", keep, "Keep upper case and accents, for a cased vocabulary");
    // After --cased, whose effect they change: options act in the order in which they are added.
    add_choice(command, "--strip-accents", normalization.strip_accents, kSwitch,
               "Remove accents; by default where upper case is removed too")
        ->default_str("");
    add_choice(command, "--tokenize-chinese-chars", normalization.split_ideographs, kSwitch,
               "Make each Chinese character a word");
}

void use_threads(const CommonOptions& common) { omp_set_num_threads(thread_count(common.threads)); }

}  // namespace dropforge

int main(int argc, char** argv) {
    using namespace dropforge;
    CommonOptions common{.command_line = {argv, argv + argc}};
    const auto add_subcommands = [&](CLI::App& app) {
        add_prepare(app, common);
        add_pretrain(app, common);
        add_finetune(app, common);
        add_evaluate(app, common);
        add_score(app, common);
        add_predict(app, common);
        add_curve(app, common);
        add_metrics(app, common);
        add_report(app, common);
        add_look(app, common);
        add_export(app, common);
        add_fill(app, common);
        add_embed(app, common);
        add_inspect(app, common);
        add_tokenize(app, common);
        add_parity(app, common);
    };
    return run_command_line(
        {.name = "dropforge",
         .description = "Dropforge pretrains BERT: from text to a checkpoint that Hugging Face opens.",
         .version = [] { return build_info("dropforge", kRevision, backends()); },
         .add_subcommands = add_subcommands},
        argc, argv);
}
