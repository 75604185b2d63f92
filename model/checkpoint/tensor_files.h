// The weights of a model folder, in one safetensors file or several.
#pragma once

#include <deque>
#include <map>
#include <string>

#include "engine/safetensors.h"

namespace dropforge {

/// model.safetensors or, where there is none, the shards that model.safetensors.index.json lists. The constructor
/// throws Error for an index that leads out of the folder, a shard that is missing, and a tensor that is not in the
/// one shard that the index names; where weights are there in another format only, the Error says how to convert them.
class TensorFiles {
  public:
    explicit TensorFiles(const fs::path& folder);

    /// The file or the index, for messages.
    const std::string& where() const { return where_; }
    /// By name; the file that holds the tensor.
    const std::map<std::string, const SafetensorsFile*>& tensors() const { return tensors_; }
    bool has(const std::string& name) const { return tensors_.contains(name); }
    /// The file that holds a tensor of that name.
    const SafetensorsFile& file(const std::string& name) const { return *tensors_.at(name); }
    std::span<const std::byte> bytes(const std::string& name) const { return file(name).bytes(name); }

  private:
    void read_index(const fs::path& folder);

    std::string where_;
    std::deque<SafetensorsFile> files_;
    std::map<std::string, const SafetensorsFile*> tensors_;
};

}  // namespace dropforge
