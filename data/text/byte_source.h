// The decompressed bytes of a file, read from front to end in bounded memory.
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
    /// Reads up to `size` bytes and returns their number; 0 only at the end. Error that names the file if it is
    /// unreadable, damaged or truncated.
    virtual size_t read(char* to, size_t size) = 0;
    /// The number of bytes read from the disk so far.
    uint64_t position() const { return position_; }
    /// Notes for the user: ignored bytes after the end, unusual memory.
    const std::vector<std::string>& notes() const { return notes_; }

  protected:
    uint64_t position_ = 0;
    std::vector<std::string> notes_;
};

/// Opens a file. A compressed file may be several concatenated ones (`cat a.gz b.gz`). As the tools do, bytes after the
/// last gzip or bzip2 stream are ignored with a note, and zeros, with which gzip files are padded, without one. Error
/// with the path and the system's reason.
std::unique_ptr<ByteSource> open_bytes(const fs::path& path, Codec codec);

}  // namespace dropforge::data
