#include "model/checkpoint/tensor_files.h"

#include <array>

#include "base/error.h"
#include "base/json_object.h"

namespace dropforge {

namespace {

constexpr const char* kWhole = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

/// What other programs and older versions write, and what makes a model.safetensors of it. Run in the folder.
struct OtherFormat {
    const char *file, *what, *command;
};
constexpr const char* kFromPytorch =
    R"~(python3 -c "import glob, torch; from safetensors.torch import save_file; )~"
    R"~(save_file({k: v.clone().contiguous() for f in glob.glob('pytorch_model*.bin') )~"
    R"~(for k, v in torch.load(f, map_location='cpu', weights_only=True).items()}, 'model.safetensors')")~";
constexpr std::array<OtherFormat, 6> kOtherFormats = {{
    {"pytorch_model.bin", "PyTorch's format", kFromPytorch},
    {"pytorch_model.bin.index.json", "PyTorch's format", kFromPytorch},
    {"tf_model.h5", "TensorFlow's format",
     R"~(python3 -c "from transformers import BertForPreTraining as B; )~"
     R"~(B.from_pretrained('.', from_tf=True).save_pretrained('.')", with transformers 4)~"},
    {"flax_model.msgpack", "Flax's format",
     R"~(python3 -c "from transformers import BertForPreTraining as B; )~"
     R"~(B.from_pretrained('.', from_flax=True).save_pretrained('.')", with transformers 4)~"},
    {"bert_model.ckpt.index", "TensorFlow's format",
     R"~(python3 -c "from transformers import BertConfig as C, BertForPreTraining as B; )~"
     R"~(B.from_pretrained('bert_model.ckpt.index', from_tf=True, config=C.from_json_file('bert_config.json')))~"
     R"~(.save_pretrained('.')", with transformers 4)~"},
    {"adapter_model.safetensors", "an adapter without the model that it changes",
     R"~(python3 -c "from peft import AutoPeftModel as A; )~"
     R"~(A.from_pretrained('.').merge_and_unload().save_pretrained('.')")~"},
}};

}  // namespace

TensorFiles::TensorFiles(const fs::path& folder) {
    if (fs::exists(folder / kWhole)) {
        const SafetensorsFile& file = files_.emplace_back(folder / kWhole);
        where_ = file.path().string();
        for (const auto& [name, info] : file.tensors()) tensors_.emplace(name, &file);
        return;
    }
    if (fs::exists(folder / kIndex)) {
        read_index(folder);
        return;
    }
    for (const OtherFormat& other : kOtherFormats)
        require(!fs::exists(folder / other.file), "{}: no {}, but {}: {}, which is not read; to convert it, there: {}",
                folder.string(), kWhole, other.file, other.what, other.command);
    throw Error("{}: No such file, and no {}", (folder / kWhole).string(), kIndex);
}

void TensorFiles::read_index(const fs::path& folder) {
    const JsonObject index = JsonObject::load(folder / kIndex);
    where_ = index.where();
    const JsonObject map = index.object("weight_map");
    require(map.size() > 0, "{}: the weight_map names no tensor", where_);
    std::map<std::string, const SafetensorsFile*> shards;
    for (const std::string& name : map.keys()) {
        const std::string shard = map.text(name.c_str());
        require(is_file_name(shard), "{}: the shard \"{}\" of {} must be a file of the same folder", where_, shard,
                name);
        const SafetensorsFile*& file = shards[shard];
        if (file == nullptr) {
            require(fs::exists(folder / shard), "{}: the shard {} of {} is missing", where_, shard, name);
            file = &files_.emplace_back(folder / shard);
        }
        require(file->has(name), "{}: {} is not in {}", where_, name, shard);
        tensors_.emplace(name, file);
    }
    for (const auto& [shard, file] : shards)
        for (const auto& [name, info] : file->tensors()) {
            require(has(name), "{}: the tensor {} is not in the index", file->path().string(), name);
            require(tensors_[name] == file, "{}: the tensor {} is also in {}, where the index has it",
                    file->path().string(), name, tensors_[name]->path().filename().string());
        }
}

}  // namespace dropforge
