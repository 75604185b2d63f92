// Fine-tuning from files to result.json.
#pragma once

#include "finetune/evaluation/result.h"
#include "finetune/plan.h"

namespace dropforge {

/// Trains options.seeds runs, each into options.out or, of several, its own folder seed-N there, or goes on where they
/// were stopped, with the same bits. Writes config.toml, metrics.jsonl and, of the kept epoch, checkpoint/, predictions
/// and eval.safetensors; result.json last, when all is there. Throws Error for bad input and for a folder with a
/// result.json; Interrupted after a signal, with all that goes on from there written.
FinetuneResult finetune(const FinetuneOptions& options);

}  // namespace dropforge
