// Files: read-only maps, atomic writes, and errors that name the path and the reason.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dropforge {

namespace fs = std::filesystem;

/// A read-only memory map of a file. Error if it cannot be opened.
class MappedFile {
  public:
    explicit MappedFile(const fs::path& path);
    ~MappedFile();
    MappedFile(MappedFile&& other) noexcept;
    MappedFile& operator=(MappedFile&& other) noexcept;

    const fs::path& path() const { return path_; }
    std::span<const std::byte> bytes() const { return {data_, size_}; }
    std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }

  private:
    fs::path path_;
    const std::byte* data_ = nullptr;
    size_t size_ = 0;
};

/// Writes a file under a temporary name, path.tmp<number>; commit() syncs it and renames it to `path`, which is
/// unchanged until then. Every failure (disk full, no permission) throws Error with the path and the system's reason.
class AtomicFile {
  public:
    explicit AtomicFile(fs::path path);
    ~AtomicFile();
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;

    void write(const void* data, size_t size);
    void write(std::string_view text) { write(text.data(), text.size()); }
    /// Overwrites bytes already written, e.g. a header whose counts are known at the end.
    void write_at(uint64_t offset, const void* data, size_t size);
    uint64_t size() const { return size_; }
    /// Flushes everything to the disk under the temporary name, so that only the rename can still fail.
    void sync();
    void commit();

  private:
    void open_new();
    void write_out(const void* data, size_t size, uint64_t offset);
    void flush();

    fs::path path_, temporary_;
    int descriptor_ = -1;
    bool committed_ = false;
    uint64_t size_ = 0;
    std::string buffer_;
};

/// The content of a file. Throws Error.
std::string read_text(const fs::path& path);
/// Replaces the file atomically (AtomicFile).
void write_text(const fs::path& path, std::string_view text);
/// Whether `name`, read from a file, is a plain file name that cannot lead out of that file's folder, and that a file
/// can have: not empty, at most 255 bytes, none of them 0.
bool is_file_name(std::string_view name);
/// The folder of `path`; "." if it names none.
fs::path folder_of(const fs::path& path);
/// "a" for "a.tmp123", AtomicFile's temporary name; any other name unchanged.
std::string_view final_name(std::string_view name);
/// Makes the entries of a folder durable (fsync of the directory).
void sync_folder(const fs::path& folder);
/// Renames a file or folder durably. Throws Error.
void rename_durably(const fs::path& from, const fs::path& to);
/// Creates a folder and its missing parents durably; returns the new ones, the outermost first. If that fails, creates
/// none and throws Error with `path` and the system's reason.
std::vector<fs::path> make_folders(const fs::path& path);
/// Error with the numbers unless the file system of `folder` has `bytes` free.
void require_free_disk(const fs::path& folder, uint64_t bytes);

}  // namespace dropforge
