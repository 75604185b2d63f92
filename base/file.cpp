#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace dropforge {

namespace {

[[noreturn]] void fail(const fs::path& path, const char* what) {
    throw Error("{}: {}: {}", path.string(), what, std::strerror(errno));
}

fs::path folder_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

}  // namespace

MappedFile::MappedFile(const fs::path& path) : path_(path) {
    const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) fail(path, "cannot open");
    struct stat status {};
    if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(descriptor);
        throw Error("{}: not a regular file", path.string());
    }
    size_ = static_cast<size_t>(status.st_size);
    if (size_ > 0) {
        void* map = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (map == MAP_FAILED) {
            close(descriptor);
            fail(path, "cannot map");
        }
        data_ = static_cast<const std::byte*>(map);
    }
    close(descriptor);
}

MappedFile::~MappedFile() {
    if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
}

AtomicFile::AtomicFile(fs::path path) : path_(std::move(path)), temporary_(path_) {
    temporary_ += ".tmp" + std::to_string(getpid());
    descriptor_ = open(temporary_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (descriptor_ < 0) fail(path_, "cannot write");
}

AtomicFile::~AtomicFile() {
    if (descriptor_ >= 0) close(descriptor_);
    if (!committed_) unlink(temporary_.c_str());
}

void AtomicFile::write_out(const void* data, size_t size, uint64_t offset) {
    const auto* bytes = static_cast<const char*>(data);
    while (size > 0) {
        const ssize_t written = pwrite(descriptor_, bytes, size, static_cast<off_t>(offset));
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) fail(path_, "cannot write");
        bytes += written;
        size -= static_cast<size_t>(written);
        offset += static_cast<uint64_t>(written);
    }
}

void AtomicFile::flush() {
    write_out(buffer_.data(), buffer_.size(), size_ - buffer_.size());
    buffer_.clear();
}

void AtomicFile::write(const void* data, size_t size) {
    constexpr size_t kBuffer = size_t{1} << 20;
    size_ += size;
    if (size >= kBuffer) {
        write_out(buffer_.data(), buffer_.size(), size_ - size - buffer_.size());
        buffer_.clear();
        write_out(data, size, size_ - size);
        return;
    }
    buffer_.append(static_cast<const char*>(data), size);
    if (buffer_.size() >= kBuffer) flush();
}

void AtomicFile::write_at(uint64_t offset, const void* data, size_t size) {
    require(offset + size <= size_, "{}: write_at past the end", path_.string());
    flush();
    write_out(data, size, offset);
}

void AtomicFile::commit() {
    flush();
    if (fsync(descriptor_) != 0) fail(path_, "cannot sync");
    if (close(std::exchange(descriptor_, -1)) != 0) fail(path_, "cannot close");
    if (rename(temporary_.c_str(), path_.c_str()) != 0) fail(path_, "cannot rename");
    committed_ = true;
    sync_folder(folder_of(path_));
}

std::string read_text(const fs::path& path) { return std::string(MappedFile(path).text()); }

void write_text(const fs::path& path, std::string_view text) {
    AtomicFile file(path);
    file.write(text);
    file.commit();
}

void sync_folder(const fs::path& folder) {
    const int descriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) fail(folder, "cannot open");
    const int failed = fsync(descriptor);
    close(descriptor);
    if (failed != 0 && errno != EINVAL) fail(folder, "cannot sync");  // EINVAL: a file system without folder sync
}

void require_free_disk(const fs::path& folder, uint64_t bytes) {
    std::error_code error;
    const fs::space_info space = fs::space(folder, error);
    require(!error, "{}: cannot read the free space: {}", folder.string(), error.message());
    require(space.available >= bytes, "{}: needs {:.1f} MB of free disk, {:.1f} MB are free", folder.string(),
            static_cast<double>(bytes) / 1e6, static_cast<double>(space.available) / 1e6);
}

}  // namespace dropforge
