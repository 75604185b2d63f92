// A text of any size as its lines.
#pragma once

#include <memory>
#include <string>

#include "base/file.h"
#include "data/text/byte_source.h"

namespace dropforge {

class LineReader {
  public:
    /// "-": standard input. Error that names the file if it cannot be opened.
    explicit LineReader(const fs::path& path);

    /// The next line, without LF or CR LF; false after the last. What follows the last LF is a line unless it is empty.
    bool next(std::string& line);

  private:
    bool fill();

    std::unique_ptr<data::ByteSource> source_;
    std::string text_;
    size_t begin_ = 0, searched_ = 0;  // where the next line begins, and up to where it does not end
};

}  // namespace dropforge
