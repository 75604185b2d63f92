// One process at a time: a lock on a file that is there for it.
#pragma once

#include <string_view>

#include "base/file.h"

namespace dropforge {

enum class IfHeld { wait, give_up };

/// The kernel gives the lock back when the process ends, however it ends. The file stays unless remove() is called.
class FileLock {
  public:
    /// Makes the file if there is none. Throws Error if it cannot be written or locked.
    FileLock(fs::path path, IfHeld if_held);
    ~FileLock();
    FileLock(const FileLock&) = delete;
    FileLock& operator=(const FileLock&) = delete;

    /// False: another process has it, and `if_held` was to give up.
    bool held() const { return descriptor_ >= 0; }
    /// Whether this object made the file.
    bool made() const { return made_; }
    /// Replaces the file's text, by which the holder can say who it is. Throws Error.
    void write(std::string_view text);
    /// Removes the file of a lock that is held.
    void remove();

  private:
    bool open_file();
    bool take(IfHeld if_held);
    bool is_the_file() const;

    fs::path path_;
    int descriptor_ = -1;
    bool made_ = false;
};

}  // namespace dropforge
