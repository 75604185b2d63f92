// dropforge embed: sentence vectors of a text's lines.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "apps/sentence_vectors.h"
#include "base/command_line.h"
#include "base/json.h"
#include "devices/choice/choose_device.h"

namespace dropforge {

namespace {

const char* name_of(Pooling pooling) { return kPoolingNames[static_cast<size_t>(pooling)]; }

void print(const EmbedOptions& o, const EmbedResult& r, bool json) {
    const double speed = static_cast<double>(r.sentences) / r.seconds;
    if (json)
        fmt::print("{}\n", json_text({{"vectors", o.out.string()},
                                      {"sentences", r.sentences},
                                      {"size", r.size},
                                      {"pooling", name_of(r.pooling)},
                                      {"normalized", r.normalized},
                                      {"max_length", r.max_length},
                                      {"cut", r.cut},
                                      {"seconds", r.seconds}}));
    else
        fmt::print("{}  {} vectors of {}, {}{}; {:.0f} sentences/s\n", o.out.string(), r.sentences, r.size,
                   r.pooling == Pooling::mean ? "the mean of all tokens" : "[CLS]", r.normalized ? ", normalised" : "",
                   speed);
}

void run(const EmbedOptions& o, const CommonOptions& common) {
    use_threads(common);
    const EmbedResult r = embed(o);
    print_notes(r.notes, common);
    if (r.cut > 0)
        print_notes(
            {fmt::format("{} of {} sentences have more than {} tokens and were cut", r.cut, r.sentences, r.max_length)},
            common);
    print(o, r, common.json);
}

void add_options(CLI::App& command, EmbedOptions& o) {
    command.add_option("--model", o.model, "A checkpoint, or any BERT in Hugging Face's format, with or without heads")
        ->required()
        ->type_name("FOLDER");
    command.add_option("--text", o.text, "A text in UTF-8, a sentence a line; - reads standard input")
        ->required()
        ->type_name("FILE");
    command.add_option("--out", o.out, "The file to write: .npy, f32 [sentences, hidden size]")
        ->required()
        ->type_name("FILE");
    command.add_flag("--overwrite", o.overwrite, "Replace the file, once the new one is complete");
    add_names(
        command, "--pool", {kPoolingNames.begin(), kPoolingNames.end()}, 0,
        [&o](size_t chosen) { o.pooling = static_cast<Pooling>(chosen); },
        "Make a vector of the mean of all tokens, or of [CLS]; by default as the model's modules.json says, else the "
        "mean")
        ->default_str("");
    command.add_flag("--normalize", o.normalize,
                     "Make vectors of length 1; without --pool also where the model's modules.json says so");
    command
        .add_option("--max-length", o.max_length,
                    "Tokens of a sentence, [CLS] and [SEP] among them; what is longer is cut (default: as the model's "
                    "sentence_bert_config.json or tokenizer_config.json says)")
        ->transform(whole_number<int64_t>(3, 1 << 16));
    command.add_option("--batch", o.batch, "Sentences computed at a time")
        ->transform(whole_number<int64_t>(1, 1 << 16))
        ->capture_default_str();
    add_choice(command, "--precision", o.dtype, kPrecisionNames, "Precision of weights and activations");
    add_device(command, o.device);
}

}  // namespace

void add_embed(CLI::App& app, CommonOptions& common) {
    auto* command = app.add_subcommand(
        "embed",
        "Turn sentences into vectors, as sentence-transformers does\n\n"
        "Writes a vector for each line, in the order of the lines. How a vector is made, and at how many tokens a\n"
        "sentence is cut, follows from the files that sentence-transformers keeps in a model's folder, if there are\n"
        "any. Heads of the model are not used.");
    auto options = std::make_shared<EmbedOptions>();
    add_options(*command, *options);
    add_common(*command, common);
    command->footer(
        "Examples:\n"
        "  dropforge embed --model all-MiniLM-L6-v2/ --text sentences.txt --out vectors.npy\n"
        "  cut -f1 train.tsv | dropforge embed --model runs/demo/checkpoints/step-00001000 --text - --pool cls "
        "--out vectors.npy");
    command->callback([options, &common] { run(*options, common); });
}

}  // namespace dropforge
