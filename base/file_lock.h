// A lock on a file, by which one process at a time works.
#pragma once

#include <string_view>

#include "base/file.h"

namespace dropforge {

enum class IfHeld { wait, give_up };

/// The kernel releases the lock when the process ends, however it ends. The file remains unless remove() is called.
class FileLock {
  public:
    /// Creates the file if there is none, and locks it. Error if it cannot be written or locked.
    FileLock(fs::path path, IfHeld if_held);
    ~FileLock();
    FileLock(const FileLock&) = delete;
    FileLock& operator=(const FileLock&) = delete;

    /// Whether this object has the lock; if not, another process does, and `if_held` was give_up.
    bool held() const { return descriptor_ >= 0; }
    /// Whether this object created the file.
    bool created() const { return created_; }
    /// Replaces the file's text, which can name the holder. Throws Error.
    void write(std::string_view text);
    /// Removes the file; the lock is held.
    void remove();

  private:
    bool open_file();
    bool take(IfHeld if_held);
    bool is_the_file() const;

    fs::path path_;
    int descriptor_ = -1;
    bool created_ = false;
};

}  // namespace dropforge
