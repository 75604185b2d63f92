// Base class and buffer of the readers of compressed files.
#pragma once

#include <fcntl.h>

#include <string_view>
#include <vector>

#include "base/error.h"
#include "data/text/byte_source.h"

namespace dropforge::data {

/// The bytes of a file on the disk.
class PlainSource : public ByteSource {
  public:
    explicit PlainSource(const fs::path& path);
    ~PlainSource() override;
    PlainSource(const PlainSource&) = delete;
    PlainSource& operator=(const PlainSource&) = delete;

    size_t read(char* to, size_t size) override;

  private:
    fs::path path_;
    int descriptor_;
};

class CompressedSource : public ByteSource {
  protected:
    CompressedSource(const fs::path& path, const char* format) : path_(path), format_(format), file_(path) {}

    /// Appends bytes of the file to input_; false at the file's end.
    bool refill();
    /// Whether more than `count` bytes of input remain.
    bool has_more_than(size_t count) { return input_.size() > count || (refill() && has_more_than(count)); }
    /// Ignores the remaining input, with a note.
    void ignore_rest();
    /// Adds a note, once, if unpacking takes more than 128 MiB.
    void note_memory(uint64_t bytes);

    [[noreturn]] void throw_damaged(std::string_view reason) const {
        throw Error("{}: offset {}: the {} data is damaged: {}", path_.string(), position_ - input_.size(), format_,
                    reason);
    }
    [[noreturn]] void throw_truncated() const {
        throw Error("{}: offset {}: the {} data is truncated", path_.string(), position_, format_);
    }
    [[noreturn]] void throw_no_memory() const {
        throw Error("{}: offset {}: not enough memory to unpack it", path_.string(), position_ - input_.size());
    }

    fs::path path_;
    std::string_view input_;  // not yet unpacked, in buffer_

  private:
    const char* format_;
    PlainSource file_;
    std::vector<char> buffer_ = std::vector<char>(size_t{1} << 17);
    bool memory_noted_ = false;
};

std::unique_ptr<ByteSource> open_gzip(const fs::path& path);
std::unique_ptr<ByteSource> open_bzip2(const fs::path& path);
std::unique_ptr<ByteSource> open_xz(const fs::path& path);
std::unique_ptr<ByteSource> open_zstd(const fs::path& path);

}  // namespace dropforge::data
