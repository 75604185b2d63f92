// dropforge look: the batch of any step, in words.
#include <fmt/format.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "base/command_line.h"
#include "base/error.h"
#include "base/json.h"
#include "data/shards/receipt.h"
#include "model/run/folder.h"
#include "report/step_batch.h"

namespace dropforge {

namespace {

using report::BatchToken;
using report::StepBatch;

constexpr int64_t kMostSteps = 2'147'483'647;

struct Options {
    fs::path what, checkpoint;
    int64_t step = 1, sequences = 4;
    std::vector<std::string> settings;
};

/// How tokens are set off: on a terminal by colours, else by signs.
struct Marks {
    const char *masked, *masked_end, *dropped, *dropped_end, *soft, *soft_end;
};
constexpr Marks kColours = {"\033[1;36m", "\033[0m", "\033[2;9m", "\033[0m", "\033[33m", "\033[0m"};
constexpr Marks kSigns = {"", "", "~", "", "", ""};

/// "{label}" where the model reads [MASK], "{label=}" where it reads the label, "{label>piece}" where another piece.
std::string masked_text(const BatchToken& token) {
    if (token.piece == "[MASK]") return fmt::format("{{{}}}", token.label);
    return token.piece == token.label ? fmt::format("{{{}=}}", token.label)
                                      : fmt::format("{{{}>{}}}", token.label, token.piece);
}

std::string text_of(const std::vector<BatchToken>& tokens, const Marks& marks) {
    std::string text;
    for (const BatchToken& token : tokens) {
        const bool masked = !token.label.empty();
        const std::string word = masked ? masked_text(token) : token.piece;
        const bool joins = !masked && token.kept && word.starts_with("##");
        text += text.empty() || joins ? "" : " ";
        const std::string shown = joins ? word.substr(2) : word;
        if (!token.kept)
            text += marks.dropped + shown + marks.dropped_end;
        else if (masked)
            text += marks.masked + shown + marks.masked_end;
        else if (token.special)
            text += marks.soft + shown + marks.soft_end;
        else
            text += shown;
    }
    return text;
}

void print(const StepBatch& batch, int64_t length, const Marks& marks) {
    fmt::print("step {}  {}, epoch {}, samples {} …\n", batch.step, batch.kind, batch.epoch, batch.first_sample);
    fmt::print("{{label}} is masked, {{label>piece}} replaced, {{label=}} left as it is{}\n",
               batch.kept == 0 ? std::string()
                               : fmt::format("; {}dropped{}: {} of {} tokens stay", marks.dropped, marks.dropped_end,
                                             batch.kept, length));
    for (const auto& [tokens, label] : batch.sequences) {
        fmt::print("\n{}\n", text_of(tokens, marks));
        if (label) fmt::print("{}\n", *label == 0 ? "the second segment follows the first" : "it does not follow");
    }
}

nlohmann::ordered_json as_json(const StepBatch& batch) {
    using Json = nlohmann::ordered_json;
    Json json = {{"step", batch.step},
                 {"kind", batch.kind},
                 {"epoch", batch.epoch},
                 {"first_sample", batch.first_sample},
                 {"sequences", Json::array()}};
    for (const auto& [tokens, label] : batch.sequences) {
        Json ids = Json::array(), pieces = Json::array(), segments = Json::array(), masked = Json::array(),
             kept = Json::array();
        for (size_t i = 0; i < tokens.size(); ++i) {
            ids.push_back(tokens[i].id);
            pieces.push_back(tokens[i].piece);
            segments.push_back(tokens[i].segment);
            if (!tokens[i].label.empty()) masked.push_back({{"position", i}, {"label", tokens[i].label}});
            if (tokens[i].kept) kept.push_back(i);
        }
        Json sequence = {{"input_ids", ids}, {"pieces", pieces}, {"masked", masked}};
        if (label) sequence.update({{"token_type_ids", segments}, {"next_sentence_label", *label}});
        if (batch.kept > 0) sequence["kept_positions"] = kept;
        json["sequences"].push_back(sequence);
    }
    return json;
}

/// That of a run, or the default one with the settings for a data folder.
RunConfig config_of(const Options& o) {
    if (const auto recorded = recorded_config(o.what)) {
        require(o.settings.empty(), "--set {}: {} is a run, which has its configuration; --set is for a data folder",
                o.settings.front(), o.what.string());
        return *recorded;
    }
    require(fs::exists(o.what / data::Receipt::kFile),
            "{}: neither a run (config.toml) nor a data folder (dataset.json)", o.what.string());
    RunConfig config;
    config.data.path = o.what.string();
    std::vector<Setting> settings;
    for (const std::string& assignment : o.settings) settings.push_back(Setting::parse(assignment));
    config.set(settings);
    return config;
}

void look(const Options& o, const CommonOptions& common) {
    const RunConfig config = config_of(o);
    fs::path checkpoint = o.checkpoint;
    if (checkpoint.empty())
        if (const auto all = list_checkpoints(o.what); !all.empty()) checkpoint = all.back().path;
    const StepBatch batch = report::read_step_batch(config, o.step, o.sequences, checkpoint);
    if (common.json)
        fmt::print("{}\n", json_text(as_json(batch)));
    else
        print(batch, config.data.sequence, isatty(STDOUT_FILENO) != 0 ? kColours : kSigns);
}

}  // namespace

void add_look(CLI::App& app, CommonOptions& common) {
    auto* command = app.add_subcommand("look",
                                       "Show the batch of any step of a run, past or to come, in words\n\n"
                                       "What a step reads follows from its number alone: the sequences, their masked "
                                       "pieces with the labels, the [SEP]\n"
                                       "between documents, and, where tokens are dropped by an importance table, those "
                                       "that a checkpoint's table keeps.");
    auto options = std::make_shared<Options>();
    command->add_option("what", options->what, "A run, or a data folder, with the default recipe and --set")
        ->required()
        ->type_name("RUN|DATA");
    command->add_option("--step", options->step, "The step, from 1 on")
        ->required()
        ->transform(whole_number<int64_t>(1, kMostSteps));
    command->add_option("--sequences", options->sequences, "Sequences of its batch that are shown, at most")
        ->transform(whole_number<int64_t>(1, kMostSteps))
        ->capture_default_str();
    command
        ->add_option("--checkpoint", options->checkpoint,
                     "The checkpoint whose importance table chooses the tokens; by default the run's newest")
        ->type_name("FOLDER");
    command->add_option("--set", options->settings, "Of a data folder: set a key of the configuration; may be repeated")
        ->expected(1)
        ->take_all()
        ->type_name("KEY=VALUE");
    add_common(*command, common);
    command->footer(
        "Examples:\n"
        "  dropforge look runs/demo --step 1000\n"
        "  dropforge look my-data --step 1000000 --set train.batch=32 --set train.seed=1 --sequences 2 --json");
    command->callback([options, &common] { look(*options, common); });
}

}  // namespace dropforge
