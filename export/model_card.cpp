#include "export/model_card.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "data/shards/dataset.h"
#include "report/configurations.h"

namespace dropforge {

namespace {

/// A string of YAML, whose quoted strings are JSON's.
std::string quoted(const std::string& text) {
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// The training split of the run, if its folder still holds it.
std::optional<data::Dataset> training_split(const RunConfig& config, const TrainingState& state) {
    const fs::path folder = config.data.path;
    if (!fs::is_regular_file(folder / data::Receipt::kFile)) return {};
    std::optional<data::Dataset> split(std::in_place, folder, data::Split::train);
    if (data::hex(split->fingerprint()) != state.data) return {};
    return split;
}

/// The newest evaluation up to the step that has a loss; nullptr: there was none.
const report::LoggedEvaluation* last_evaluation(const report::ReportedRun& run, int64_t step) {
    const report::LoggedEvaluation* last = nullptr;
    for (const report::LoggedEvaluation& e : run.metrics.evaluations())
        if (e.step <= step && std::isfinite(e.loss) && (last == nullptr || e.step >= last->step)) last = &e;
    return last;
}

std::string front_matter(const std::string& name, const report::LoggedEvaluation* evaluation) {
    std::string text =
        "---\n"
        "library_name: transformers\n"
        "pipeline_tag: fill-mask\n"
        "tags:\n- bert\n- masked-lm\n- dropforge\n";
    if (evaluation != nullptr)
        text += fmt::format(
            "model-index:\n"
            "- name: {}\n"
            "  results:\n"
            "  - task:\n      type: fill-mask\n      name: Masked language modelling\n"
            "    dataset:\n      type: text\n      name: Validation split of the training data\n"
            "    metrics:\n"
            "    - type: loss\n      name: Cross-entropy of a masked token (nats)\n      value: {:.4f}\n"
            "    - type: accuracy\n      name: Accuracy at masked tokens\n      value: {:.4f}\n",
            quoted(name), evaluation->loss, evaluation->accuracy);
    return text + "---\n";
}

/// Two columns of Markdown.
class Facts {
  public:
    void add(const char* name, const std::string& value) { text_ += fmt::format("| {} | {} |\n", name, cell(value)); }
    const std::string& text() const { return text_; }

  private:
    static std::string cell(const std::string& value) {
        std::string cell;
        for (const char c : value) cell += c == '|' ? "\\|" : c == '\n' ? " " : std::string(1, c);
        return cell;
    }

    std::string text_ = "| | |\n| --- | --- |\n";
};

void add_data(Facts& facts, const RunConfig& config, const TrainingState& state) {
    const std::optional<data::Dataset> split = training_split(config, state);
    if (split) {
        const data::Receipt receipt = data::Receipt::load(config.data.path);
        facts.add("training text",
                  fmt::format("{} documents, {} tokens, {:.3f} % of all tokens of the text [UNK]",
                              receipt.train_documents, receipt.shard_tokens(data::Split::train),
                              receipt.tokens == 0 ? 0.0
                                                  : 100.0 * static_cast<double>(receipt.unknown_tokens) /
                                                        static_cast<double>(receipt.tokens)));
        facts.add("a model of word frequencies alone",
                  fmt::format("{:.4f} nats; accuracy {:.4f}", receipt.unigram_entropy, receipt.top_token_share));
        facts.add("vocabulary", fmt::format("{} tokens, {}, {}", receipt.vocabulary_size,
                                            receipt.normalization.lower_case ? "uncased" : "cased",
                                            receipt.trained ? "made from the text" : "given"));
    }
    facts.add("fingerprint of the training data", state.data);
}

void add_course(Facts& facts, const report::ReportedRun& run, const TrainingState& state,
                const report::LoggedEvaluation* evaluation) {
    const auto step = static_cast<double>(state.step);
    facts.add("tokens seen", fmt::format("{:.4g} million", run.metrics.tokens_at(step) / 1e6));
    if (!run.flops.empty()) facts.add("executed FLOPs", fmt::format("{:.3g}", run.x_at(step, report::Against::flops)));
    facts.add("training time", fmt::format("{:.3g} hours", run.metrics.seconds_at(step) / 3600));
    if (evaluation != nullptr)
        facts.add("validation", fmt::format("loss {:.4f} nats, accuracy {:.4f}, after step {}", evaluation->loss,
                                            evaluation->accuracy, evaluation->step));
}

}  // namespace

std::string model_card(const std::string& name, int64_t parameters, const report::ReportedRun& run,
                       const TrainingState& state) {
    const RunConfig& config = *run.config;
    const BertConfig& model = config.model;
    const report::LoggedEvaluation* evaluation = last_evaluation(run, state.step);
    Facts facts;
    facts.add("model",
              fmt::format("{} layers, hidden {}, {} heads, {} positions; {:.2f} million parameters", model.layers,
                          model.hidden, model.heads, model.max_positions, static_cast<double>(parameters) / 1e6));
    facts.add("initial weights", state.initial == TrainingState::kDrawn || state.initial.empty()
                                     ? fmt::format("drawn from seed {}", config.train.seed)
                                     : fmt::format("{} ({})", state.initial_path, state.initial));
    add_data(facts, config, state);
    facts.add("method", run.plan ? run.plan->method->text() : config.train.method);
    facts.add("steps", fmt::format("{} of {}, {} sequences of {} tokens each", state.step, config.train.steps,
                                   config.train.batch, config.data.sequence));
    add_course(facts, run, state, evaluation);
    facts.add("computed by", fmt::format("kernels {}; Dropforge {}", state.kernels, state.revision));
    return fmt::format(
        "{}\n# {}\n\n"
        "A BERT, pretrained by Dropforge. No licence is stated: that of the training text decides.\n\n{}\n"
        "## Use\n\n```python\nfrom transformers import pipeline\n\n"
        "fill = pipeline(\"fill-mask\", model=\".\")\nprint(fill(\"Paris is the [MASK] of France.\"))\n```\n\n"
        "`parity.json` has a sequence of ids and the largest logits at its [MASK], as Dropforge computes them in f32. "
        "An implementation that reads the weights rightly finds the same:\n\n"
        "```python\nimport json, torch\nfrom transformers import AutoModelForMaskedLM\n\n"
        "expected = json.load(open(\"parity.json\"))\n"
        "model = AutoModelForMaskedLM.from_pretrained(\".\").eval()\n"
        "with torch.no_grad():\n"
        "    logits = model(torch.tensor([expected[\"input_ids\"]])).logits[0, expected[\"mask_position\"]]\n"
        "for top in expected[\"top\"]:\n"
        "    assert abs(logits[top[\"id\"]].item() - top[\"logit\"]) < 1e-3\n```\n\n"
        "## Recipe\n\n```sh\n{}\n```\n\n```toml\n{}```\n",
        front_matter(name, evaluation), name, facts.text(),
        report::pretrain_command(config, "runs/" + name, state.initial_path), state.config);
}

}  // namespace dropforge
