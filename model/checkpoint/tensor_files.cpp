#include "model/checkpoint/tensor_files.h"

#include <array>

#include "base/error.h"
#include "base/json_object.h"

namespace dropforge {

namespace {

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

/// What other programs and older versions write, and what makes a model.safetensors of it: a command for a shell in the
/// folder, and the Python packages that it needs.
struct OtherFormat {
    const char *file, *what, *needs, *command;
};
constexpr const char* kFromPytorch =
    R"~(python3 -c "import glob, torch; from safetensors.torch import save_file; )~"
    R"~(save_file({k: v.clone().contiguous() for f in glob.glob('pytorch_model*.bin') )~"
    R"~(for k, v in torch.load(f, map_location='cpu', weights_only=True).items()}, )~"
    R"~('model.safetensors', {'format': 'pt'})")~";
// transformers 4 reads the next three too, but its last versions then save an empty model. These need no more than the
// format's own library, and write nothing that was not there.
constexpr const char* kFromKeras =
    R"~(python3 -c "import re, h5py; from safetensors.numpy import save_file; a = {}; )~"
    R"~(h5py.File('tf_model.h5').visititems(lambda k, v: a.update({k: v[()]}) if hasattr(v, 'shape') else None); )~"
    R"~(n = lambda k: re.sub('(kernel|embeddings):0$', 'weight', re.sub('^.*/(?=bert/)|^.*___', '', k)); )~"
    R"~(save_file({n(k).replace(':0', '').replace('_._', '/').replace('/', '.'): )~"
    R"~(v.T.copy() if k.endswith('kernel:0') else v for k, v in a.items()}, )~"
    R"~('model.safetensors', {'format': 'pt'})")~";
constexpr const char* kFromFlax =
    R"~(python3 -c "import re; from flax.serialization import msgpack_restore as r; )~"
    R"~(from flax.traverse_util import flatten_dict as f; from safetensors.numpy import save_file; )~"
    R"~(save_file({re.sub('(kernel|scale|embedding)$', 'weight', k): v.T.copy() if k.endswith('kernel') else v )~"
    R"~(for k, v in f(r(open('flax_model.msgpack', 'rb').read()), sep='.').items()}, )~"
    R"~('model.safetensors', {'format': 'pt'})")~";
constexpr const char* kFromCheckpoint =
    R"~(python3 -c "import re, shutil, tensorflow; from safetensors.numpy import save_file; )~"
    R"~(c = tensorflow.train.load_checkpoint('bert_model.ckpt'); )~"
    R"~(n = lambda k: re.sub('_embeddings$', '_embeddings/weight', re.sub('kernel$|output_weights$', 'weight', k)); )~"
    R"~(save_file({n(k).replace('output_bias', 'bias').replace('layer_', 'layer/').replace('/', '.'): )~"
    R"~(c.get_tensor(k).T.copy() if k.endswith('kernel') else c.get_tensor(k) )~"
    R"~(for k in c.get_variable_to_shape_map() if re.match('(bert|cls)/', k) and 'adam' not in k}, )~"
    R"~('model.safetensors', {'format': 'pt'}); shutil.copy('bert_config.json', 'config.json')")~";
constexpr const char* kFromAdapter = R"~(python3 -c "from peft import AutoPeftModel as A; )~"
                                     R"~(A.from_pretrained('.').merge_and_unload().save_pretrained('.')")~";
constexpr std::array<OtherFormat, 6> kOtherFormats = {{
    {"pytorch_model.bin", "PyTorch's format", "torch and safetensors", kFromPytorch},
    {"pytorch_model.bin.index.json", "PyTorch's format", "torch and safetensors", kFromPytorch},
    {"tf_model.h5", "TensorFlow's format", "h5py and safetensors", kFromKeras},
    {"flax_model.msgpack", "Flax's format", "flax and safetensors", kFromFlax},
    {"bert_model.ckpt.index", "TensorFlow's format", "tensorflow and safetensors", kFromCheckpoint},
    {"adapter_model.safetensors", "an adapter without the model that it changes", "peft", kFromAdapter},
}};

}  // namespace

TensorFiles::TensorFiles(const fs::path& folder) {
    if (fs::exists(folder / kSingleFile)) {
        const SafetensorsFile& file = files_.emplace_back(folder / kSingleFile);
        where_ = file.path().string();
        for (const auto& [name, info] : file.tensors()) tensors_.emplace(name, &file);
        return;
    }
    if (fs::exists(folder / kIndex)) {
        read_index(folder);
        return;
    }
    for (const OtherFormat& other : kOtherFormats)
        require(!fs::exists(folder / other.file),
                "{}: no {}, but {}: {}, which is not read; to convert it, there, with {}: {}", folder.string(),
                kSingleFile, other.file, other.what, other.needs, other.command);
    throw Error("{}: No such file, and no {}", (folder / kSingleFile).string(), kIndex);
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
