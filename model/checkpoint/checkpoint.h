// A checkpoint's content: a model that Hugging Face opens, and trainer.safetensors with all that a resumed run needs to
// go on bit for bit.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "data/tokenizer/normalization.h"
#include "engine/safetensors.h"
#include "model/network/parameters.h"
#include "model/training/training_step.h"

namespace dropforge {

/// Where a run stands after a whole number of optimizer steps.
struct TrainingState {
    int64_t step = 0;          // optimizer steps done; the next batch is that of step + 1
    NamedNumbers interval;     // Method::add_up() of the steps since the last line of metrics.jsonl
    std::string config;        // the run's resolved TOML
    std::string data;          // fingerprint of the training split, 16 hexadecimal digits
    std::string revision;      // of the source that the program was built from
    std::string kernels;       // name of the kernel table: "cpu avx2"; empty in checkpoints from before it was kept
    std::string initial;       // weights_fingerprint() of --init; kDrawn; empty in checkpoints from before it was kept
    std::string initial_path;  // of --init, in UTF-8

    static constexpr const char* kDrawn = "random";
};

/// What is different about the program that wrote a checkpoint, for a run that goes on from it: a line each.
std::vector<std::string> written_otherwise(const TrainingState& saved, const TrainingState& running);

/// Throws Error if a run that goes on from the checkpoint did not begin with the weights of the folder `initial`, which
/// it would not read; an empty path asks for nothing.
void require_begun_with(const fs::path& initial, const TrainingState& saved, const fs::path& checkpoint);

/// Writes config.json, model.safetensors (f32 master weights), trainer.safetensors (moments, the method's states,
/// loss scale, state) and the tokenizer's files into `folder`, which exists.
void save_checkpoint(const fs::path& folder, const Parameters& parameters, TrainingStep& step,
                     const TrainingState& state, const data::Vocabulary& vocabulary,
                     const data::Normalization& normalization);

/// Adds the moments of every tensor, and in fp16 the loss scale, from the host's memory.
void add_optimizer_states(SafetensorsWriter& writer, const Parameters& parameters, TrainedStates& states);
/// Reads them; a file of another precision has no loss scale, and all of its `step` updates were taken.
void read_optimizer_states(const SafetensorsFile& file, const Parameters& parameters, int64_t step,
                           TrainedStates& states);

/// Reads what save_checkpoint wrote into the step's arenas. Throws Error if the checkpoint is of another model, or
/// lacks a state of the method.
TrainingState load_checkpoint(const fs::path& folder, const Parameters& parameters, TrainingStep& step);
/// Reads the state of a method, f32 [n]. Throws Error naming the entry if the length is another or a value is not
/// finite.
void read_method_state(const SafetensorsFile& file, const std::string& name, std::span<float> values);
/// The states of the checkpoint's method by name; empty if it has none.
std::map<std::string, std::vector<float>> load_method_states(const fs::path& folder);
/// The state alone, e.g. to compare the configuration before anything is allocated.
TrainingState load_training_state(const fs::path& folder);

/// Copies the weights of a model folder into the step. Heads that the folder lacks keep their values, heads that the
/// run lacks are left out, and so are rows of tokens past the run's vocabulary; all else must be the same. Throws Error
/// naming the tensor. Returns what was left out or kept, for people.
std::vector<std::string> load_initial_weights(const fs::path& folder, const Parameters& parameters, TrainingStep& step);

}  // namespace dropforge
