// A method of training: which kind of step each step of a run is, the Program of that step, and what it takes and gives
// in addition to the batch, the heads' losses and the update. All others know methods by this interface alone;
// model/methods/registry.cpp has the list of all.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/program.h"
#include "model/network/builder.h"

namespace dropforge {

/// A kind of step, by its place in Method::kinds(). Every method has dense steps, even if a run has none.
enum class StepKind : uint32_t { dense = 0 };

/// A run as its method sees it.
struct RunShape {
    BertConfig model = {};
    int64_t sequence = 0;  // S
    int64_t steps = 1;     // of the whole run
    int64_t masked = 0;    // M
    bool whole_word = false;
};

/// A few numbers by name, in the order in which they were first written to; no memory of its own, as steps make them.
class NamedNumbers {
  public:
    using Item = std::pair<std::string, double>;

    NamedNumbers() = default;
    NamedNumbers(std::initializer_list<std::pair<std::string_view, double>> items);

    bool has(std::string_view name) const { return find(name) != nullptr; }
    /// 0 if there is none of that name.
    double operator[](std::string_view name) const;
    double& operator[](std::string_view name);
    const Item* begin() const { return items_.data(); }
    const Item* end() const { return items_.data() + size_; }

  private:
    static constexpr size_t kMost = 24;

    const Item* find(std::string_view name) const;

    std::array<Item, kMost> items_ = {};  // names of up to 15 characters lie in their strings
    size_t size_ = 0;
};

/// A step as far as its results are weighted and divided.
struct StepInfo {
    int64_t step = 0;  // counts from 1
    StepKind kind = StepKind::dense;
    double masked = 0;                            // masked positions of the whole batch
    double sequences = 0;                         // of the whole batch
    std::span<const LossHeadPointer> heads = {};  // whose labels the batch has

    /// Losses that a head's mean is over.
    double count(HeadRows rows) const { return rows == HeadRows::masked ? std::max(masked, 1.0) : sequences; }
};

/// What a Program is about to read of a batch.
struct MicroBatch {
    int64_t first = 0, length = 0;       // its first sequence in the batch; S
    std::span<const int32_t> input_ids;  // [b,S]
    std::span<const int32_t> lengths;    // [b]; empty: all S
};
/// The memory of the input of that name; empty if the Program has none.
using InputPlace = std::function<std::span<int32_t>(std::string_view name)>;

/// A number that a step gives, from what its Programs leave.
struct StepResultSource {
    const char* name;
    const char* output;  // f32; where a Program has no such output the step does not give the number
    int element;         // which the Programs add up over the micro-batches; kAll: the host adds all of all of them

    static constexpr int kAll = -1;
};

/// f32 values that a method keeps on the device from step to step.
struct MethodState {
    const char* name;  // of the bound tensor [size], and in a checkpoint
    int64_t size;
};

/// The rows of each sequence that a step works on.
struct ChosenRows {
    const char* output;
    int64_t count;  // K
};

/// How often each token id is in the training data [V]; counted when it is called.
using TokenCounts = std::function<std::vector<int64_t>()>;

class Method {
  public:
    explicit Method(const RunShape& shape) : shape_(shape) {}
    virtual ~Method() = default;
    Method(const Method&) = delete;
    Method& operator=(const Method&) = delete;

    /// As train.method has it.
    virtual const char* name() const = 0;
    /// For people, in a line: what it does with the tokens, and when.
    virtual std::string text() const { return name(); }

    /// Names of the kinds of step; the first is the dense one's.
    virtual std::vector<std::string> kinds() const { return {"dense"}; }
    /// Of step 1 … steps: a pure function of the number, so that a resumed run goes on alike.
    virtual StepKind kind(int64_t step) const;
    /// How many of the run's steps are of that kind, in closed form.
    virtual int64_t count(StepKind kind) const;
    /// What share of the steps that the method is about is of that kind, by which `bench` weighs them.
    virtual double share(StepKind kind) const { return kind == StepKind::dense ? 1 : 0; }
    std::string kind_name(StepKind kind) const { return kinds()[static_cast<size_t>(kind)]; }

    /// Forward and backward of one micro-batch (dense_step(), model/network/bert.h). By default the dense step.
    virtual Program program(StepKind kind, const Parameters& parameters, const BuildOptions& options) const;
    /// The Program of an evaluation (evaluation(), model/network/bert.h): by default all tokens go through all layers.
    virtual Program evaluation_program(const Parameters& parameters, const BuildOptions& options) const;

    /// Values of the Program's f32 [1] inputs: by default the heads' scales, for the means of their losses.
    virtual NamedNumbers inputs(const StepInfo& info) const;
    /// The i32 inputs that fill_inputs() gives a Program of that kind, and that of an evaluation.
    virtual std::vector<std::string> input_names(StepKind) const { return {}; }
    /// Fills them for the sequences of a micro-batch.
    virtual void fill_inputs(const StepInfo&, const MicroBatch&, const InputPlace&) const {}
    /// By default losses, counts and hits of the heads: mlm_loss, mlm_count, mlm_correct …
    virtual std::vector<StepResultSource> sources(std::span<const LossHeadPointer> heads) const;
    /// What is differentiated. `results`: of sources(); what is better reported divided is divided here.
    virtual double loss(const StepInfo& info, NamedNumbers& results) const;

    /// Share of a sequence's tokens that a step of that kind works on in the layers that leave any out; absent for a
    /// method that leaves none out, whose metrics then don't say so.
    virtual std::optional<double> kept_share(StepKind) const { return {}; }
    /// Adds a step's results to those of the steps since the last line of metrics.jsonl, which are part of a
    /// checkpoint: by default loss, count and correct of the masked positions, the same of other heads under their
    /// names, steps, and kept, the sum of the shares.
    virtual void add_up(const StepInfo& info, const NamedNumbers& results, NamedNumbers& interval) const;
    /// What a line of metrics.jsonl says of them besides loss and accuracy: by default nsp_loss and nsp_accuracy of
    /// pairs, and kept_fraction, the mean of the shares. `step` is the last of them.
    virtual NamedNumbers metrics(int64_t step, const NamedNumbers& interval) const;

    /// If set, masks are made in fixed counts, for training and evaluation (data::MaskingOptions::mask_token_share).
    virtual std::optional<double> mask_token_share() const { return {}; }
    /// For who has a model fill in [MASK] that was trained like this, where that is not what it learned; else "".
    virtual std::string note_on_filling() const { return {}; }

    /// In every checkpoint.
    virtual std::vector<MethodState> states() const { return {}; }
    /// What passes leave on the device for the update.
    virtual std::vector<MethodState> accumulators() const { return {}; }
    /// Of the state of that name, before the first step.
    virtual std::vector<float> initial_state(std::string_view name, const TokenCounts& counts) const;
    /// Rows that a step of that kind chooses: outputs i32 [B,K], ascending in each sequence, which a Program without
    /// any choice to make does not have.
    virtual std::vector<ChosenRows> chosen(StepKind) const { return {}; }
    /// Adds to the optimizer's Program what moves the states; norm f32 [1] is that of the gradients: where it is not
    /// finite no state changes. This method outlives the Program.
    virtual void add_update(Program&, Tensor /*norm*/) const {}

  protected:
    /// The sum of the means of the heads' losses in that pass.
    static double mean_losses(const StepInfo& info, const NamedNumbers& results, PassName pass);

    const RunShape shape_;
};

}  // namespace dropforge
