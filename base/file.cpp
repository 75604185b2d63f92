#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/rollback.h"

namespace dropforge {

namespace {

constexpr std::string_view kTemporary = ".tmp";

[[noreturn]] void fail(const fs::path& path, const char* what) {
    throw Error("{}: {}: {}", path.string(), what, std::strerror(errno));
}

}  // namespace

bool is_file_name(std::string_view name) {
    constexpr std::string_view kForbidden("/\\\0", 3);
    return !name.empty() && name.size() <= NAME_MAX && name != "." && name != ".." &&
           name.find_first_of(kForbidden) == std::string_view::npos;
}

fs::path folder_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

std::string_view final_name(std::string_view name) {
    const size_t mark = name.rfind(kTemporary);
    if (mark == std::string_view::npos) return name;
    const std::string_view number = name.substr(mark + kTemporary.size());
    return !number.empty() && number.find_first_not_of("0123456789") == number.npos ? name.substr(0, mark) : name;
}

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

AtomicFile::AtomicFile(fs::path path) : path_(std::move(path)) { open_new(); }

/// Creates a new file, never opening one that exists: in containers process ids repeat, and so do temporary names.
void AtomicFile::open_new() {
    constexpr uint64_t kTries = 1000;
    for (uint64_t number = static_cast<uint64_t>(getpid()), last = number + kTries; number < last; ++number) {
        temporary_ = path_;
        temporary_ += fmt::format("{}{}", kTemporary, number);
        descriptor_ = open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (descriptor_ >= 0) return;
        if (errno != EEXIST) break;
    }
    fail(path_, "cannot write");
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

void AtomicFile::sync() {
    flush();
    if (fsync(descriptor_) != 0) fail(path_, "cannot sync");
}

void AtomicFile::commit() {
    sync();
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
    const int error = fsync(descriptor) == 0 ? 0 : errno;
    close(descriptor);
    const bool unknown = error == EINVAL || error == ENOTSUP || error == ENOSYS;  // to this file system
    require(error == 0 || unknown, "{}: cannot sync: {}", folder.string(), std::strerror(error));
}

void rename_durably(const fs::path& from, const fs::path& to) {
    if (rename(from.c_str(), to.c_str()) != 0) fail(from, "cannot rename");
    sync_folder(folder_of(to));
    if (folder_of(from) != folder_of(to)) sync_folder(folder_of(from));
}

std::vector<fs::path> make_folders(const fs::path& path) {
    std::vector<fs::path> missing;
    std::error_code error;
    for (fs::path folder = path.has_filename() ? path : path.parent_path();
         !folder.empty() && !fs::exists(folder, error); folder = folder.parent_path())
        missing.push_back(folder);
    std::vector<fs::path> created;
    Rollback rollback;
    for (auto folder = missing.rbegin(); folder != missing.rend(); ++folder) {
        const bool is_new = fs::create_directory(*folder, error);
        require(!error, "{}: cannot create: {}", path.string(), error.message());
        if (!is_new) continue;  // another process was faster
        created.push_back(*folder);
        rollback.add([folder = *folder] {
            std::error_code ignored;
            fs::remove(folder, ignored);
        });
        sync_folder(folder_of(*folder));
    }
    rollback.commit();
    return created;
}

void require_free_disk(const fs::path& folder, uint64_t bytes) {
    std::error_code error;
    const fs::space_info space = fs::space(folder, error);
    require(!error, "{}: cannot read the free space: {}", folder.string(), error.message());
    require(space.available >= bytes, "{}: needs {:.1f} MB of free disk, {:.1f} MB are free", folder.string(),
            static_cast<double>(bytes) / 1e6, static_cast<double>(space.available) / 1e6);
}

}  // namespace dropforge
