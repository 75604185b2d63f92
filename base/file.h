// Files that are whole or absent: read-only maps, atomic writes, and errors that name the path and the reason.
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

/// A read-only memory map of a whole file. Throws Error if it cannot be opened.
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

/// Writes `path` under a temporary name beside it, path.tmp<number>; commit() syncs and renames it, and until then (or
/// without it) `path` stays as it was. Every failure (disk full, no permission) throws Error with the path and the
/// system's reason.
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
    /// All is on the disk, under the temporary name: what can still fail is the rename.
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

/// The whole file as text. Throws Error.
std::string read_text(const fs::path& path);
/// Replaces the file atomically (AtomicFile).
void write_text(const fs::path& path, std::string_view text);
/// Whether a name read from a file stays in that file's folder.
bool is_file_name(std::string_view name);
/// The folder that `path` lies in; "." where it names none.
fs::path folder_of(const fs::path& path);
/// "a" of "a.tmp123", as AtomicFile calls what is not finished; a name that is not temporary, itself.
std::string_view final_name(std::string_view name);
/// Makes the names in a folder durable (fsync of the directory).
void sync_folder(const fs::path& folder);
/// Renames, and makes that durable. Throws Error.
void rename_durably(const fs::path& from, const fs::path& to);
/// Makes a folder and those above it that are missing, durably; returns the new ones, the uppermost first. Throws Error
/// with `path` and the system's reason, and leaves none then.
std::vector<fs::path> make_folders(const fs::path& path);
/// Throws Error with the numbers unless the file system of `folder` has `bytes` free.
void require_free_disk(const fs::path& folder, uint64_t bytes);

}  // namespace dropforge
