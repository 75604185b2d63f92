#include "model/run/trained_by.h"

#include "model/checkpoint/checkpoint.h"
#include "model/config/config.h"
#include "model/methods/dense.h"

namespace dropforge {

std::shared_ptr<const Method> trained_by(const fs::path& folder, const BertConfig& model, int64_t sequence,
                                         int64_t masked) {
    if (!fs::exists(folder / "trainer.safetensors")) return dense();
    RunConfig config = RunConfig::from_toml(load_training_state(folder).config, folder.string());
    config.model = model;
    config.data.sequence = sequence;
    config.data.max_predictions = masked;
    return config.method();
}

}  // namespace dropforge
