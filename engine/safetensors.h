// safetensors files (the Hugging Face format: u64 header length, JSON header, raw little-endian data), read strictly
// and written atomically.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"

namespace dropforge {

/// The header entry of a tensor.
struct TensorInfo {
    std::string dtype;  // as in the file: "F32", "BF16", "F16", "I32", "I64", "U8" …
    std::vector<int64_t> shape;
    uint64_t begin = 0, end = 0;  // bytes, from the start of the data section

    int64_t size() const;  // elements
};

/// A memory-mapped file. The constructor refuses malformed headers with an Error that names the file and the place:
/// length past the end, bad JSON, duplicate names, unknown keys of an entry, ranges that overlap, leave holes or do not
/// match shape and dtype, overflow.
class SafetensorsFile {
  public:
    explicit SafetensorsFile(const fs::path& path);

    const fs::path& path() const { return file_.path(); }
    const std::map<std::string, TensorInfo>& tensors() const { return tensors_; }
    const std::map<std::string, std::string>& metadata() const { return metadata_; }
    bool has(const std::string& name) const { return tensors_.contains(name); }
    /// Error that names the file if it has no such tensor.
    const TensorInfo& info(const std::string& name) const;
    std::span<const std::byte> bytes(const std::string& name) const;
    /// Reads the elements as f32 (from F32, F16, BF16, F64) or i32 (from I32, I64 in range). Error for another dtype
    /// or, if `shape` is given, another shape (what was expected, what came).
    void read(const std::string& name, std::span<float> to, std::span<const int64_t> shape = {}) const;
    void read(const std::string& name, std::span<int32_t> to, std::span<const int64_t> shape = {}) const;

  private:
    MappedFile file_;
    std::map<std::string, TensorInfo> tensors_;
    std::map<std::string, std::string> metadata_;
    uint64_t data_ = 0;  // offset of the data section
};

/// Collects tensors, then writes them by AtomicFile: wider element types first, so that each is aligned to its
/// elements, as readers that map the file expect; otherwise in order of insertion. The tensors' memory must live until
/// write(). add() throws Error for a duplicate name, an unknown dtype, or data whose size does not match.
class SafetensorsWriter {
  public:
    void add(const std::string& name, std::span<const float> data, std::vector<int64_t> shape);
    void add(const std::string& name, std::span<const int32_t> data, std::vector<int64_t> shape);
    void add_raw(const std::string& name, const std::string& dtype, std::span<const std::byte> data,
                 std::vector<int64_t> shape);
    void metadata(const std::string& key, const std::string& value) { metadata_[key] = value; }
    void write(const fs::path& path) const;

  private:
    struct Entry {
        std::string name, dtype;
        std::vector<int64_t> shape;
        std::span<const std::byte> data;
    };
    std::vector<Entry> entries_;
    std::map<std::string, std::string> metadata_;
};

}  // namespace dropforge
