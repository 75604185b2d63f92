// The bytes of a file as they were before compression, read from front to end in bounded memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"

namespace dropforge::data {

enum class Codec { none, gzip, bzip2, xz, zstd };

class ByteSource {
  public:
    virtual ~ByteSource() = default;
    /// Up to `size` bytes; 0 only at the end. Throws Error naming the file if it cannot be read, is damaged or
    /// truncated.
    virtual size_t read(char* to, size_t size) = 0;
    /// Bytes read from the disk so far.
    uint64_t position() const { return position_; }
    /// What a user should know: bytes after the end that were ignored, unusual memory.
    const std::vector<std::string>& notes() const { return notes_; }

  protected:
    uint64_t position_ = 0;
    std::vector<std::string> notes_;
};

/// Opens a file. Compressed files may be several after each other, as `cat a.gz b.gz` makes them. As their own programs
/// do, gzip and bzip2 ignore what follows the last, with a note; zeros, which pad gzip files, go without. Throws Error
/// with the path and the system's reason.
std::unique_ptr<ByteSource> open_bytes(const fs::path& path, Codec codec);

}  // namespace dropforge::data
