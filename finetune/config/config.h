// Everything that defines a fine-tuning run: read from TOML, overridden by --set, checked, and printed.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/config/config.h"
#include "model/training/learning_rate.h"

namespace dropforge {

/// What becomes of lines that do not fit the task: the file is refused, or they are left out and counted.
enum class BadLines : uint8_t { error, skip };
/// The epoch whose weights and predictions are written.
enum class KeptEpoch : uint8_t { best, last };
/// The learning rate after the warm-up.
enum class Decay : uint8_t { linear, constant };

// The defaults are those of Devlin et al. 2019, section 4.1 (3 epochs of batches of 32, a learning rate of 2e-5), and
// of its code (run_classifier.py, run_squad.py), with AdamW as transformers has it.
struct FinetuneConfig {
    struct Model {  // absent: as the checkpoint's config.json has it
        std::optional<float> dropout = {}, attention_dropout = {};
        std::optional<float> classifier_dropout = {};  // of what the head reads, in training
    };
    struct Data {
        int64_t max_length = 0;                       // pieces of a sequence, with [CLS] and [SEP]; 0: the task's
        int64_t doc_stride = 128, max_question = 64;  // span: pieces that two windows share, and of the question
        int64_t max_answer = 30;                      // span: pieces
        bool shuffle = true;                          // false: the order of the file
        int64_t bucket = 50;                          // batches among which items are sorted by length; 0: not
        BadLines bad_lines = BadLines::error;
    };
    struct Train {
        int64_t epochs = 3;
        int64_t steps = 0;        // > 0: so many, whatever the epochs
        int64_t batch = 32;       // items of a step
        int64_t micro_batch = 0;  // items of one forward and backward pass; 0: as many as fit into memory
        double lr = 2e-5;
        double warmup = 0.1;  // share of the steps
        Decay schedule = Decay::linear;
        double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
        double weight_decay = 0.01;
        double clip = 1;                         // global norm of the gradient; 0: off
        std::vector<double> class_weights = {};  // of the loss, one a label; empty: all equal
        int64_t seed = 1;
        Precision precision = Precision::automatic;
        int64_t frozen = 0;      // n > 0: embeddings and the first n layers stay as they are
        double layer_decay = 1;  // d: the rate of layer i of L is lr·d^(L−1−i), of the embeddings lr·d^L, of heads lr

        /// Of a run of so many steps; the warm-up is ⌊warmup·steps + ½⌋ of them.
        Schedule learning_rate(int64_t of_steps) const;
    };
    struct Eval {
        int64_t batch = 32;  // items that go through the model at a time
        KeptEpoch keep = KeptEpoch::best;
        double null_threshold = 0;  // squad2: the answer is "" where the odds of that are larger
    };
    struct Log {
        int64_t every = 1;      // steps
        bool examples = false;  // every line names the items of its batch
    };

    Model model;
    Data data;
    Train train;
    Eval eval;
    Log log;

    /// A configuration from TOML; keys that it does not name keep their default. Throws Error for a syntax error, an
    /// unknown table or key (naming the nearest), a wrong type or range (key, expected, got, file:line).
    static FinetuneConfig from_toml(const std::string& text, const std::string& where);
    /// Of two settings with the same key the later counts; none is made if one is wrong. Throws Error as from_toml().
    void set(const std::vector<Setting>& settings);
    /// The rules that involve the model's `layers` and the task's `labels` (none: its kind has none). Throws Error
    /// naming the keys and where their values came from.
    void validate(int64_t layers, const std::vector<std::string>& labels) const;
    /// Every key that has a value; reads back as an equal configuration.
    std::string to_toml() const;
    /// "" if both define the same run, else the first key that differs and both values: "train.lr is 0.0001 there and
    /// 0.0002 here" ("here" is *this, "there" `other`). The keys of the log don't count.
    std::string difference(const FinetuneConfig& other) const;

    /// Key → "file:line", "--set" or the option, for the keys that were given.
    std::map<std::string, std::string> origins;
};

}  // namespace dropforge
