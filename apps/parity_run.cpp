#include "apps/parity_run.h"

#include <cmath>
#include <deque>
#include <set>
#include <tuple>

#include "base/error.h"
#include "engine/safetensors.h"
#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/huggingface.h"
#include "model/checkpoint/manifest.h"
#include "model/network/names.h"
#include "model/training/bindings.h"
#include "model/training/forward_pass.h"
#include "model/training/training_step.h"

namespace dropforge {

namespace {

/// The integers of a tensor [batch, columns] (or [batch]), each low … high.
std::vector<int32_t> integers(const SafetensorsFile& file, const std::string& name, std::vector<int64_t> shape,
                              int64_t low, int64_t high) {
    int64_t n = 1;
    for (const int64_t d : shape) n *= d;
    std::vector<int32_t> values(static_cast<size_t>(n));
    file.read(name, std::span<int32_t>(values), shape);
    for (size_t i = 0; i < values.size(); ++i)
        require(values[i] >= low && values[i] <= high, "{}: {}[{}] is {}, must be {} … {}", file.path().string(), name,
                i, values[i], low, high);
    return values;
}

/// Sizes of a tensor of two dimensions.
std::pair<int64_t, int64_t> matrix(const SafetensorsFile& file, const std::string& name) {
    const TensorInfo& info = file.info(name);
    require(info.shape.size() == 2 && info.shape[0] > 0 && info.shape[1] > 0,
            "{}: {} must have two dimensions, none of them 0", file.path().string(), name);
    return {info.shape[0], info.shape[1]};
}

void read_masked(const SafetensorsFile& file, const BertConfig& config, data::Batch& batch) {
    const auto [b, m] = matrix(file, names::kMaskedPositions);
    batch.masked = m;
    batch.masked_positions = integers(file, names::kMaskedPositions, {batch.sequences, m}, 0, batch.length - 1);
    batch.masked_labels = integers(file, names::kMaskedLabels, {batch.sequences, m}, 0, config.vocabulary - 1);
    batch.masked_weights.resize(static_cast<size_t>(b * m));
    file.read(names::kMaskedWeights, std::span<float>(batch.masked_weights), std::vector<int64_t>{batch.sequences, m});
    for (size_t i = 0; i < batch.masked_weights.size(); ++i)
        require(batch.masked_weights[i] == 0 || batch.masked_weights[i] == 1,
                "{}: masked_weights[{}] is {}, must be 0 or 1", file.path().string(), i, batch.masked_weights[i]);
}

/// Collects results and keeps their memory until the file is written.
class Results {
  public:
    void add(const std::string& name, std::vector<float> values, std::vector<int64_t> shape) {
        const auto& kept = values_.emplace_back(std::move(values));
        writer_.add(name, std::span<const float>(kept), std::move(shape));
    }
    void add(const std::string& name, double value) { add(name, std::vector{static_cast<float>(value)}, {1}); }
    void add(const std::string& name, const float* values, const Shape& shape) {
        add(name, std::vector(values, values + shape.size()), shape.dimensions());
    }
    void add_integers(const std::string& name, std::span<const int32_t> values, std::vector<int64_t> shape) {
        const auto& kept = integers_.emplace_back(values.begin(), values.end());
        writer_.add(name, std::span<const int32_t>(kept), std::move(shape));
    }
    void write(const fs::path& path) const { writer_.write(path); }

  private:
    std::deque<std::vector<float>> values_;
    std::deque<std::vector<int32_t>> integers_;
    SafetensorsWriter writer_;
};

/// hidden/0 … hidden/L; rows past a sequence's length are 0.
void add_hidden(const Parameters& parameters, const float* values, const data::Batch& batch, DType dtype,
                const kernels::KernelTable& table, Results& results) {
    const BertConfig& c = parameters.config();
    Program program = hidden_states(parameters, {.batch = batch.sequences,
                                                 .sequence = batch.length,
                                                 .dtype = dtype,
                                                 .types = !batch.token_type_ids.empty(),
                                                 .lengths = !batch.lengths.empty()});
    ForwardPass pass(parameters, std::move(program), values, dtype, table);
    pass.run(batch);
    for (int64_t i = 0; i <= c.layers; ++i) {
        const std::string name = names::hidden(i);
        const std::span<const float> output = pass.output<float>(name);
        std::vector<float> hidden(output.begin(), output.end());
        for (int64_t r = 0; r < batch.sequences * batch.length && !batch.lengths.empty(); ++r)
            if (r % batch.length >= batch.lengths[static_cast<size_t>(r / batch.length)])
                std::fill_n(hidden.data() + r * c.hidden, c.hidden, 0.0f);
        results.add(name, std::move(hidden), {batch.sequences, batch.length, c.hidden});
    }
}

/// Writes losses as means, divided by their heads' counts; other numbers of the method are divided already.
void add_losses(const StepResult& r, std::span<const LossHeadPointer> heads, Results& results) {
    results.add("loss", r.loss);
    NamedNumbers divisors;
    for (const LossHeadPointer& head : heads)
        for (const char* loss : head->names().loss) divisors[loss] = std::max(r[head->names().count], 1.0);
    for (const auto& [name, value] : r.numbers)
        if (!name.ends_with("_count") && !name.ends_with("_correct"))
            results.add(name, divisors.has(name) ? value / divisors[name] : value);
}

/// The positions that the step has kept; all if it drops none.
void add_chosen(const TrainingStep& step, StepKind kind, const data::Batch& batch, Results& results) {
    for (const ChosenRows& rows : step.programs().options.method->chosen(kind)) {
        std::vector<int32_t> positions = step.output<int32_t>(rows.output);
        for (int64_t i = std::ssize(positions); i < batch.sequences * rows.count; ++i)
            positions.push_back(static_cast<int32_t>(i % rows.count));
        results.add_integers(rows.output, positions, {batch.sequences, rows.count});
    }
}

/// Writes the gradients, divided by the loss scale `scale`.
void add_step(const StepResult& result, StepKind kind, TrainingStep& step, float scale, const Parameters& parameters,
              const data::Batch& batch, Results& results) {
    add_losses(result, step.programs().options.heads, results);
    add_chosen(step, kind, batch, results);
    results.add(names::kPositionLoss, step.output<float>(names::kPositionLoss), {batch.sequences, batch.masked});
    for (const HfTensor& t : parameters.tensors()) {
        if (!Parameters::learns(t, step.programs().options.heads)) continue;
        std::vector<float> gradient(step.gradients() + t.offset, step.gradients() + t.offset + t.shape.size());
        for (float& x : gradient) x /= scale;
        results.add(names::gradient(t.name), std::move(gradient), t.shape.dimensions());
    }
}

StepOptions step_options(const ParityOptions& o, const BertConfig& model, const data::Batch& batch) {
    const MethodEntry& entry = method_entry(o.method);
    const SafetensorsFile file(o.batch);
    const RunShape shape{model, batch.length, std::max<int64_t>(o.steps, 1), batch.masked, false};
    const auto method = entry.make_for_parity == nullptr
                            ? entry.make(shape, o.method_options)
                            : entry.make_for_parity({shape, o.method_options, o.model.string(), file});
    std::set<StepKind> kinds;
    for (int64_t i = 1; i <= shape.steps; ++i) kinds.insert(method->kind(i));
    return {.batch = batch.sequences,
            .micro_batch = batch.sequences,
            .sequence = batch.length,
            .masked = batch.masked,
            .types = !batch.token_type_ids.empty(),
            .lengths = !batch.lengths.empty(),
            .heads = heads_of(batch),
            .dtype = o.dtype,
            .keep_gelu = o.kernels != &kernels::cpu(),  // as a GPU with room trains
            .optimizer = o.optimizer,
            .method = method,
            .kinds = {kinds.begin(), kinds.end()}};
}

/// Loss, gradients and, with options.steps, the optimizer's steps.
void add_training(const ParityOptions& o, const Parameters& parameters, const float* values, const data::Batch& batch,
                  Results& results) {
    TrainingStep step(parameters, StepPrograms(parameters, step_options(o, parameters.config(), batch)), *o.kernels);
    const Method& method = *step.programs().options.method;
    std::copy_n(values, parameters.size(), step.values());
    for (const MethodState& state : method.states())
        read_method_state(SafetensorsFile(o.batch), state.name, step.state(state.name));
    step.store_states();
    std::vector<float> losses;
    for (int64_t i = 1; i <= std::max<int64_t>(o.steps, 1);) {
        const StepKind kind = method.kind(i);
        const StepResult result = step.backward(batch, i, kind);
        step.fetch_states();
        const float scale = step.states().loss_scale() ? step.states().loss_scale()->scale : 1;
        const double norm = step.update(i, o.steps > 0 ? o.lr : 0);
        if (!std::isfinite(norm) && scale > kernels::LossScale::kLeast) continue;  // again, with half of it
        if (i == 1) add_step(result, kind, step, scale, parameters, batch, results);
        if (i == 1) results.add("grad_norm", norm);
        losses.push_back(static_cast<float>(result.loss));
        ++i;
    }
    step.fetch_states();
    for (const MethodState& state : method.states())
        results.add(std::string(state.name) + "_after", step.state(state.name).data(), Shape{state.size});
    if (o.steps == 0) return;
    results.add("losses", losses, {o.steps});
    for (const HfTensor& t : parameters.tensors())
        if (Parameters::learns(t, step.programs().options.heads))
            results.add(names::master(t.name), step.values() + t.offset, t.shape);
}

}  // namespace

data::Batch read_batch(const fs::path& path, const BertConfig& config, bool masked) {
    const SafetensorsFile file(path);
    data::Batch batch;
    std::tie(batch.sequences, batch.length) = matrix(file, names::kInputIds);
    require(batch.length <= config.max_positions, "{}: sequences of {} tokens for a model of {} positions",
            path.string(), batch.length, config.max_positions);
    const std::vector<int64_t> shape{batch.sequences, batch.length};
    batch.input_ids = integers(file, names::kInputIds, shape, 0, config.vocabulary - 1);
    if (file.has(names::kTokenTypeIds))
        batch.token_type_ids = integers(file, names::kTokenTypeIds, shape, 0, config.types - 1);
    if (file.has(names::kLengths)) batch.lengths = integers(file, names::kLengths, {batch.sequences}, 1, batch.length);
    if (masked) read_masked(file, config, batch);
    if (file.has(names::kNextSentenceLabels))
        batch.next_sentence_labels = integers(file, names::kNextSentenceLabels, {batch.sequences}, 0, 1);
    return batch;
}

void parity(const ParityOptions& options) {
    require_intact(options.model);
    const Model model = load_model(options.model);
    const Heads& heads = model.parameters.heads();
    const bool mlm = heads.has(mlm_head());
    BertConfig config = model.parameters.config();
    config.hidden_dropout = config.attention_dropout = 0;
    const Parameters parameters(config, heads);
    const data::Batch batch = read_batch(options.batch, config, mlm);
    require(!mlm || batch.next_sentence_labels.empty() || heads.has(nsp_head()),
            "{}: next_sentence_labels are given, but {} has no pooler and NSP classifier", options.batch.string(),
            options.model.string());
    require(mlm || options.steps == 0, "{}: --steps wants a model with an MLM head", options.model.string());
    require(mlm || options.method == "dense", "{}: --method {} wants a model with an MLM head", options.model.string(),
            options.method);
    Results results;
    add_hidden(parameters, model.values.as<float>(), batch, options.dtype, *options.kernels, results);
    if (mlm) add_training(options, parameters, model.values.as<float>(), batch, results);
    results.write(options.out);
}

}  // namespace dropforge
