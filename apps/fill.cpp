// dropforge fill: the likeliest words for each [MASK].
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "apps/fill_mask.h"
#include "base/command_line.h"
#include "base/json.h"
#include "devices/choice/choose_device.h"

namespace dropforge {

namespace {

void print_json(const std::vector<std::string>& texts, const FillResult& result) {
    auto json = nlohmann::ordered_json::array();
    for (size_t i = 0; i < texts.size(); ++i) {
        auto masks = nlohmann::ordered_json::array();
        for (const auto& mask : result.fillings[i]) {
            auto candidates = nlohmann::ordered_json::array();
            for (const Filling& f : mask) candidates.push_back({{"token", f.token}, {"probability", f.probability}});
            masks.push_back(std::move(candidates));
        }
        json.push_back({{"text", texts[i]}, {"masks", std::move(masks)}});
    }
    fmt::print("{}\n", json_text(json));
}

void print(const std::vector<std::string>& texts, const FillResult& result) {
    for (size_t i = 0; i < texts.size(); ++i) {
        fmt::print("{}\n", texts[i]);
        for (const auto& mask : result.fillings[i]) {
            std::string line;
            for (const Filling& f : mask) line += fmt::format("  {} {:.1f} %", f.token, 100 * f.probability);
            fmt::print("  {}\n", line);
        }
    }
}

}  // namespace

void add_fill(CLI::App& app, CommonOptions& common) {
    auto* command = app.add_subcommand(
        "fill",
        "Predict the most likely words for each [MASK] in a sentence\n\n"
        "Prints each sentence and, a line for each of its [MASK], the candidates with their probabilities.");
    struct Options {
        fs::path model;
        std::vector<std::string> texts;
        FillOptions fill;
    };
    auto options = std::make_shared<Options>();
    command->add_option("--model", options->model, "A checkpoint, or any BERT in Hugging Face's format")
        ->required()
        ->type_name("FOLDER");
    command->add_option("--top", options->fill.top, "Print this many candidates for each [MASK]")
        ->transform(whole_number(1, 1000))
        ->capture_default_str();
    // CLI11 would read "[MASK] … [MASK]" as a list in brackets, so it gets only the first sentence, and passes on the
    // others.
    command->add_option("text", options->texts, "Sentences that contain [MASK]; quote each")
        ->type_name("SENTENCE ...")
        ->required()
        ->expected(1)
        ->allow_extra_args(false);
    command->allow_extras();
    add_choice(*command, "--precision", options->fill.dtype, kPrecisionNames, "Precision of weights and activations");
    add_device(*command, options->fill.device);
    add_common(*command, common);
    command->footer(
        "Examples:\n"
        "  dropforge fill --model runs/demo/checkpoints/step-00001000 \"Paris is the [MASK] of France.\"\n"
        "  dropforge fill --model bert-base-uncased/ --top 10 --json \"She [MASK] to see him.\" \"The [MASK] fell.\"");
    command->callback([command, options, &common] {
        bool all_texts = false;  // after --
        for (const std::string& text : command->remaining()) {
            if (text == "--" && !all_texts) {
                all_texts = true;
                continue;
            }
            if (!all_texts && text.starts_with('-') && text.find(' ') == std::string::npos)
                throw CLI::ExtrasError({text});
            options->texts.push_back(text);
        }
        use_threads(common);
        const FillResult result = fill_mask(options->model, options->texts, options->fill);
        print_notes(result.notes, common);
        if (common.json)
            print_json(options->texts, result);
        else
            print(options->texts, result);
    });
}

}  // namespace dropforge
