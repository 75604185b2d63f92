// model.safetensors.index.json, beside two shards.
#include "model/checkpoint/tensor_files.h"
#include "tests/fuzz/fuzzing.h"

using namespace dropforge;

namespace {

void write_shard(const fs::path& name, std::initializer_list<const char*> tensors) {
    static constexpr float kValues[] = {1, 2};
    SafetensorsWriter writer;
    for (const char* tensor : tensors) writer.add(tensor, std::span<const float>(kValues), {2});
    writer.write(fuzzing::folder() / name);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const bool shards = [] {
        write_shard("1.safetensors", {"a", "b"});
        write_shard("2.safetensors", {"c"});
        return true;
    }();
    fuzzing::hold(shards, "the shards are there");
    fuzzing::write("model.safetensors.index.json", fuzzing::text_of(data, size));
    fuzzing::taken([&] {
        const TensorFiles files(fuzzing::folder());
        for (const auto& entry : files.tensors()) {
            const std::string& name = entry.first;
            fuzzing::hold(files.file(name).path().parent_path() == fuzzing::folder(), "shards lie in the folder");
            fuzzing::hold(files.bytes(name).size() == 2 * sizeof(float), "a tensor is where the index has it");
        }
    });
    return 0;
}
