#include "base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace dropforge {

FileLock::FileLock(fs::path path, IfHeld if_held) : path_(std::move(path)) {
    // The last holder may have removed the file after it was opened here; a lock on it would then exclude nobody.
    while (open_file() && take(if_held) && !is_the_file()) close(std::exchange(descriptor_, -1));
}

FileLock::~FileLock() {
    if (descriptor_ >= 0) close(descriptor_);
}

/// Opens the file; false if it must be tried again. Error if that is impossible.
bool FileLock::open_file() {
    constexpr int kFlags = O_RDWR | O_NOFOLLOW | O_CLOEXEC;
    do {
        descriptor_ = open(path_.c_str(), kFlags | O_CREAT | O_EXCL, 0644);
        created_ = descriptor_ >= 0;
        if (!created_ && errno == EEXIST) descriptor_ = open(path_.c_str(), kFlags);
    } while (descriptor_ < 0 && errno == ENOENT && fs::is_directory(folder_of(path_)));  // gone between the two
    require(descriptor_ >= 0, "{}: cannot write: {}", path_.string(), std::strerror(errno));
    return true;
}

bool FileLock::take(IfHeld if_held) {
    int failed = 0;
    do {
        failed = flock(descriptor_, if_held == IfHeld::wait ? LOCK_EX : LOCK_EX | LOCK_NB);
    } while (failed != 0 && errno == EINTR);
    if (failed == 0) return true;
    const int error = errno;
    close(std::exchange(descriptor_, -1));
    require(error == EWOULDBLOCK, "{}: cannot lock: {}", path_.string(), std::strerror(error));
    return false;
}

bool FileLock::is_the_file() const {
    struct stat open {
    }, on_disk{};
    return fstat(descriptor_, &open) == 0 && lstat(path_.c_str(), &on_disk) == 0 && open.st_dev == on_disk.st_dev &&
           open.st_ino == on_disk.st_ino;
}

void FileLock::write(std::string_view text) {
    const bool written = ftruncate(descriptor_, 0) == 0 &&
                         pwrite(descriptor_, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size());
    require(written, "{}: cannot write: {}", path_.string(), std::strerror(errno));
}

void FileLock::remove() { unlink(path_.c_str()); }

}  // namespace dropforge
