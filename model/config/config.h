// Everything that defines a run: read from TOML, overridden by --set, checked, and printed with every key.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "data/batches/pairs.h"
#include "model/methods/registry.h"
#include "model/network/bert_config.h"
#include "model/training/learning_rate.h"

namespace dropforge {

enum class Masking : uint8_t { dynamic, fixed };  // "dynamic": drawn anew in every epoch; "static": the same in all
/// "auto": what the device computes fast. A run records what that came to, and keeps it.
enum class Precision : uint8_t { automatic, bf16, fp16, f32 };
/// What backward takes as GELU's output: what forward made, which takes a quarter more memory, or the same made again.
/// "auto": kept on a GPU where there is room, since kernels there wait for memory; made again on a CPU.
enum class GeluOutput : uint8_t { automatic, keep, recompute };
enum class OptimizerKind : uint8_t { adamw, lamb };

// The defaults are the recipe of Devlin et al. 2019, appendix A.2, and of its code (github.com/google-research/bert:
// run_pretraining.py, optimization.py), with RoBERTa's input (Liu et al. 2019: dynamic masking, full sequences, no
// NSP); configs/bert-original.toml has theirs. Other choices give their reason.

struct DataOptions {
    std::string path;        // folder of `dropforge prepare`; may be given later
    int64_t sequence = 128;  // tokens; Devlin et al.: 128 for 90 % of the steps, then 512
    std::optional<int64_t> max_predictions = {};
    double mask_probability = 0.15;
    Masking masking = Masking::dynamic;
    bool whole_word = false;
    data::Pairs pairs = data::Pairs::none;  // what BERT and ALBERT learn besides masked tokens
    double short_sequences = 0.1;           // create_pretraining_data.py: short_seq_prob

    /// Masked slots of a sequence: max_predictions, by default max(1, round(mask_probability · sequence)).
    int64_t predictions() const;
};

struct TrainOptions {
    std::string method = "dense";  // a name of model/methods/registry.h
    int64_t steps = 1'000'000;
    int64_t batch = 256;      // sequences a step, over all ranks and micro-batches
    int64_t micro_batch = 0;  // sequences of one forward and backward pass; 0: as many as fit into memory (RunPlan)
    Precision precision = Precision::automatic;
    GeluOutput gelu_output = GeluOutput::automatic;
    int64_t seed = 0;
    bool tf32 = false;  // GEMMs of f32 by a GPU's TF32 tensor cores: faster by far, rounded to 10 bits
    OptimizerKind optimizer = OptimizerKind::adamw;
    double lr = 1e-4;
    std::optional<int64_t> warmup_steps = {};
    ScheduleKind schedule = ScheduleKind::linear;
    double power = 1;  // of the polynomial schedule; 1: linear
    double end_lr = 0;
    double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-6;
    double weight_decay = 0.01;
    double clip = 1;  // global norm of the gradient; 0: off

    /// warmup_steps, by default a tenth of the steps and at most the 10 000 of Devlin et al., so that a short run warms
    /// up too. A run that goes on with other steps keeps its first: RunConfig::go_on_from().
    int64_t warmup() const;
    Schedule learning_rate() const { return {schedule, lr, end_lr, power, warmup(), steps}; }
};

struct EvalOptions {
    int64_t every = 1000;  // steps; 0: never
    int64_t sequences =
        1024;  // of the validation shards: 19 456 masked tokens at S = 128, a standard error of about 0.02 nats
};

struct CheckpointOptions {
    int64_t every = 1000;    // steps; 0: only at the end
    int64_t keep_last = 2;   // one to go on from, one in case that the newest is damaged
    int64_t keep_every = 0;  // steps; checkpoints at its multiples are kept for good; 0: none
};

struct LogOptions {
    int64_t every = 10;  // steps
    bool tensorboard = true;
    bool report = false;  // report.html in the run folder, written with every checkpoint
};

/// A key and its new value in TOML, where text needs no quotes; `where` is named in errors.
struct Setting {
    std::string key, value, where = "--set";

    /// From "table.key=value". Throws Error.
    static Setting parse(const std::string& assignment);
};

/// The key, with its origin where it was given: "train.lr (a.toml:2)", for errors.
std::string named_key(const std::map<std::string, std::string>& origins, const char* key);

struct RunConfig {
    BertConfig model = BertConfig::preset("bert-base");  // its vocabulary and special ids come from the data
    DataOptions data;
    TrainOptions train;
    OptionTables method_options;  // the tables that methods brought
    EvalOptions eval;
    CheckpointOptions checkpoint;
    LogOptions log;

    /// From file_of(what), or from a preset's name ("bert-mini"): that model with the default recipe. Each key is
    /// checked; validate() is left to the caller, after its own set(). Throws Error for a syntax error, an unknown
    /// table or key (naming the nearest), a wrong type or range (key, expected, got, file:line).
    static RunConfig load(const std::string& what);
    /// The file that `what` stands for: itself, or a configuration that came with this program ("demo",
    /// "configs/demo.toml"). Empty for a preset, and where there is none.
    static fs::path file_of(const std::string& what);
    static RunConfig from_toml(const std::string& text, const std::string& where);

    /// `model.preset` sets hidden, layers, heads and intermediate; `model.hidden` also sets intermediate = 4·hidden
    /// (Devlin et al. 2019, section 3); some keys of methods (`sctd.interval`) set others. These come first,
    /// whatever the order of the settings; of two with the same key the later counts. Throws Error as load() does.
    void set(const std::vector<Setting>& settings);
    void set(const std::string& assignment) { set({Setting::parse(assignment)}); }
    /// The rules between keys (sequence ≤ max_positions, batch a multiple of micro_batch …). Throws Error naming the
    /// keys and where their values came from.
    void validate() const;
    RunShape shape() const { return {model, data.sequence, train.steps, data.predictions(), data.whole_word}; }
    /// Of a configuration that is valid.
    std::shared_ptr<const Method> method() const;
    /// For a run that goes on: values that were not given and follow from a key that may change (train.warmup_steps
    /// from train.steps) or from the machine (train.precision, train.micro_batch where they are automatic) are those of
    /// `record`, the run so far, named `where` in errors. So neither more steps nor another machine make it another
    /// run.
    void go_on_from(const RunConfig& record, const std::string& where);
    /// Every key with its value, also of those that were derived; reads back as an equal configuration.
    std::string to_toml() const;
    /// "" if both define the same run, else the first key that differs and both values: "train.lr is 0.0001 there and
    /// 0.0002 here" ("here" is *this, "there" `other`). Keys that a resumed run may change don't count (data.path,
    /// train.steps, eval, checkpoint, log), nor those that the method does not read.
    std::string difference(const RunConfig& other) const;

    /// Key → "file:line", "--set" or the option, for the keys that were given.
    std::map<std::string, std::string> origins;
    /// The keys whose values go_on_from() took.
    std::set<std::string> kept;
};

}  // namespace dropforge
