// Tensor files: of models, of batches, and a checkpoint's trainer.safetensors.
#include "engine/safetensors.h"

#include "model/checkpoint/checkpoint.h"
#include "tests/fuzz/fuzzing.h"

using namespace dropforge;

namespace {

void read_all(const fs::path& path) {
    const SafetensorsFile file(path);
    for (const auto& tensor : file.tensors()) {
        const std::string& name = tensor.first;
        const TensorInfo& info = tensor.second;
        const size_t size = file.bytes(name).size();
        fuzzing::hold(size == info.end - info.begin, "a tensor has the bytes that its header says");
        if (info.size() > int64_t{1} << 20) continue;
        std::vector<float> floats(static_cast<size_t>(info.size()));
        std::vector<int32_t> integers(floats.size());
        const bool numbers = fuzzing::taken([&] { file.read(name, floats, info.shape); });
        const bool as_integers = fuzzing::taken([&] { file.read(name, integers, info.shape); });
        fuzzing::hold(!numbers || !as_integers, "a tensor holds floats or integers");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const fs::path path = fuzzing::write("trainer.safetensors", fuzzing::text_of(data, size));
    fuzzing::taken([&] { read_all(path); });
    fuzzing::taken([&] { load_training_state(fuzzing::folder()); });
    fuzzing::taken([&] { load_method_states(fuzzing::folder()); });
    return 0;
}
