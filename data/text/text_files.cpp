#include "data/text/text_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "data/text/line_filters.h"
#include "data/text/utf8.h"

namespace dropforge::data {

namespace {

constexpr const char* kKinds = ".txt, .md, .html or .jsonl, also with .gz, .bz2, .xz or .zst";

std::string lower_case(std::string text) {
    for (char& c : text)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return text;
}

/// Whether the first line is an object with the key.
bool begins_as_json_lines(const TextFile& file, const std::string& key) {
    LeftOut without_text;
    JsonLines lines(file.path, key, without_text);
    std::vector<char> chunk(size_t{1} << 16);
    std::string text;
    try {
        const std::unique_ptr<ByteSource> source = open_bytes(file.path, file.codec);
        for (size_t count = 1; count > 0 && text.empty() && without_text.total() == 0;) {
            count = source->read(chunk.data(), chunk.size());
            lines.feed({chunk.data(), count}, text);
            if (count == 0) lines.finish(text);
        }
    } catch (const Error&) {
        return !text.empty();  // what is wrong later on, the reader says
    }
    return !text.empty() || without_text.total() > 0;
}

std::optional<TextFile> text_file(const fs::path& path, const ListOptions& options) {
    static const std::map<std::string, Codec> codecs = {
        {".gz", Codec::gzip}, {".bz2", Codec::bzip2}, {".xz", Codec::xz}, {".zst", Codec::zstd}};
    static const std::map<std::string, TextFormat> formats = {
        {".txt", TextFormat::plain},         {".md", TextFormat::markdown},    {".markdown", TextFormat::markdown},
        {".html", TextFormat::html},         {".htm", TextFormat::html},       {".jsonl", TextFormat::json_lines},
        {".ndjson", TextFormat::json_lines}, {".json", TextFormat::json_lines}};
    TextFile file{path};
    fs::path name = lower_case(path.filename().string());
    if (const auto codec = codecs.find(name.extension().string()); codec != codecs.end()) {
        file.codec = codec->second;
        name = name.stem();
        if (!name.has_extension()) name += ".txt";  // corpus.gz
    }
    const auto format = formats.find(name.extension().string());
    const bool known =
        format != formats.end() && (format->first != ".json" || begins_as_json_lines(file, options.json_key));
    if (known) file.format = format->second;
    return known || options.any_ending ? std::optional(file) : std::nullopt;
}

/// Folders that `prepare` and `pretrain` write contain text files: vocab.txt, metrics.jsonl. Foreign models look like
/// our checkpoints.
bool is_dropforge_folder(const fs::path& folder) {
    const auto has = [&](const char* name) {
        std::error_code ignored;
        return fs::exists(folder / name, ignored);
    };
    return (has("dataset.json") && has("train-00000.shard")) || has("prepare.lock") ||
           (has("config.toml") && (has("metrics.jsonl") || has("checkpoints"))) ||
           (has("config.json") && has("model.safetensors"));
}

/// Walks through folders. Files and folders are known by device and inode, so that none is taken twice, and links can
/// make no loop. What is linked to comes last: a file is called by its own path where it has one.
class Walk {
  public:
    Walk(const ListOptions& options, TextFiles& found) : options_(options), found_(found) {
        if (struct stat status{}; stat(options.output.c_str(), &status) == 0) output_ = identity(status);
    }

    /// One of the paths that were given.
    void add(const fs::path& path) {
        struct stat status {};
        require(stat(path.c_str(), &status) == 0, "{}: {}", path.string(), std::strerror(errno));
        if (!S_ISDIR(status.st_mode)) return add_named(path, status);
        require(identity(status) == output_ || !is_dropforge_folder(path),
                "{}: a folder with data, a run or a model, not text", path.string());
        require(access(path.c_str(), R_OK | X_OK) == 0, "{}: cannot list: {}", path.string(), std::strerror(errno));
        const size_t before = found_.files.size();
        if (is_new(status, path)) walk(path, identity(status) == output_);
        for (size_t i = 0; i < links_.size(); ++i) follow(fs::path(links_[i]));  // it may add others
        links_.clear();
        std::ranges::sort(found_.files.begin() + static_cast<ptrdiff_t>(before), found_.files.end(), {},
                          [](const TextFile& file) { return file.path.string(); });
    }

  private:
    using Identity = std::pair<dev_t, ino_t>;
    static Identity identity(const struct stat& status) { return {status.st_dev, status.st_ino}; }

    void leave_out(Reason reason, const fs::path& path) { found_.left_out.add(reason, path.string()); }

    bool is_new(const struct stat& status, const fs::path& path) {
        if (seen_.insert(identity(status)).second) return true;
        leave_out(Reason::seen_before, path);
        return false;
    }

    void add_named(const fs::path& path, const struct stat& status) {
        require(S_ISREG(status.st_mode), "{}: not a regular file", path.string());
        std::optional<TextFile> file = text_file(path, options_);
        require(file.has_value(), "{}: not a kind of text that can be read: {} (--any-ending reads it as plain text)",
                path.string(), kKinds);
        struct stat folder {};
        require(stat(folder_of(path).c_str(), &folder) != 0 || identity(folder) != output_,
                "{}: lies in the output folder", path.string());
        file->named = true;
        if (is_new(status, path)) take(std::move(*file), status);
    }

    void walk(const fs::path& folder, bool is_output) {
        std::error_code error;
        std::vector<fs::path> entries, folders;
        for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
            entries.push_back(entry->path());
        if (error) return leave_out(Reason::unreadable, folder);
        std::ranges::sort(entries);
        for (const fs::path& path : entries) {
            struct stat status {};
            if (path.filename().string().starts_with('.')) {
                if (!is_output) leave_out(Reason::hidden, path);
            } else if (lstat(path.c_str(), &status) != 0) {
                leave_out(Reason::unreadable, path);
            } else if (S_ISLNK(status.st_mode)) {
                if (!is_output) links_.push_back(path);
            } else if (S_ISDIR(status.st_mode)) {
                folders.push_back(path);
            } else if (!is_output) {
                add_found(path, status);
            }
        }
        for (const fs::path& path : folders) enter(path);
    }

    void enter(const fs::path& folder) {
        struct stat status {};
        if (stat(folder.c_str(), &status) != 0) return leave_out(Reason::unreadable, folder);
        const bool is_output = identity(status) == output_;
        if (!is_output && is_dropforge_folder(folder)) return leave_out(Reason::dropforge_folder, folder);
        if (is_new(status, folder)) walk(folder, is_output);
    }

    void follow(const fs::path& link) {
        struct stat status {};
        if (stat(link.c_str(), &status) != 0) {
            const Reason reason = errno == ELOOP    ? Reason::link_loop
                                  : errno == EACCES ? Reason::unreadable
                                                    : Reason::broken_link;
            return leave_out(reason, link);
        }
        if (!S_ISDIR(status.st_mode)) return add_found(link, status);
        if (leads_upwards(link)) return leave_out(Reason::link_loop, link);
        enter(link);
    }

    static bool leads_upwards(const fs::path& link) {
        std::error_code ignored;
        const fs::path to = fs::canonical(link, ignored), from = fs::canonical(folder_of(link), ignored);
        return std::ranges::mismatch(to, from).in1 == to.end();
    }

    void add_found(const fs::path& path, const struct stat& status) {
        if (!S_ISREG(status.st_mode)) return leave_out(Reason::not_a_file, path);
        std::optional<TextFile> file = text_file(path, options_);
        if (!file) return leave_out(Reason::unknown_ending, path);
        if (is_new(status, path)) take(std::move(*file), status);
    }

    void take(TextFile file, const struct stat& status) {
        file.size = static_cast<uint64_t>(status.st_size);
        file.modified = int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
        found_.files.push_back(std::move(file));
    }

    const ListOptions& options_;
    TextFiles& found_;
    std::optional<Identity> output_;
    std::set<Identity> seen_;
    std::vector<fs::path> links_;
};

void require_files(const TextFiles& found, const std::string& names) {
    if (!found.files.empty()) return;
    std::string reasons;
    for (const std::string& line : found.left_out.lines()) reasons += "; left out: " + line;
    throw Error("{}: no text files ({}){}", names, kKinds, reasons);
}

/// What a file begins with, unpacked.
std::string first_bytes(const TextFile& file) {
    std::string bytes(size_t{1} << 16, '\0');
    const std::unique_ptr<ByteSource> source = open_bytes(file.path, file.codec);
    size_t size = 0;
    for (size_t count = 1; count > 0 && size < bytes.size(); size += count)
        count = source->read(bytes.data() + size, bytes.size() - size);
    bytes.resize(size);
    return bytes;
}

/// Every other byte of UTF-16 text in Latin letters is 0, on even or odd places.
bool looks_like_utf16(std::string_view bytes) {
    if (bytes.starts_with("\xFF\xFE") || bytes.starts_with("\xFE\xFF")) return true;  // byte order mark, UTF-32's too
    std::array<size_t, 2> zeros{};
    for (size_t i = 0; i < bytes.size(); ++i) zeros[i % 2] += bytes[i] == '\0' ? 1 : 0;
    const auto [few, many] = std::ranges::minmax(zeros);
    return many * 4 > bytes.size() && few * 16 < many;
}

/// Control characters that text has no use for; some are found in text all the same.
bool looks_binary(std::string_view bytes) {
    const auto controls =
        std::ranges::count_if(bytes, [](char c) { return (c >= 0 && c <= 0x06) || (c >= 0x0E && c <= 0x1A); });
    return static_cast<size_t>(controls) * 1000 > bytes.size();
}

/// Text with a few broken characters is repaired; where most of what is not ASCII is not UTF-8 either, and that is more
/// than 1 % of all, it is another encoding.
bool looks_like_another_encoding(std::string_view bytes) {
    constexpr uint64_t kFew = 8;  // a short text is more than its one broken character
    const uint64_t invalid = count_invalid_utf8(bytes);
    const auto other = std::ranges::count_if(bytes, [](char c) { return (c & 0x80) != 0; });
    return invalid > kFew && invalid * 100 > bytes.size() && invalid * 2 > static_cast<uint64_t>(other);
}

std::optional<Reason> why_no_text(std::string_view bytes) {
    if (bytes.empty()) return Reason::empty;
    if (looks_like_utf16(bytes)) return Reason::encoding;
    if (looks_binary(bytes)) return Reason::binary;
    if (looks_like_another_encoding(bytes)) return Reason::encoding;
    return std::nullopt;
}

std::optional<Reason> why_no_text(const TextFile& file) {
    if (file.size == 0) return Reason::empty;
    if (!file.named && access(file.path.c_str(), R_OK) != 0 && errno == EACCES) return Reason::unreadable;
    return why_no_text(first_bytes(file));
}

}  // namespace

TextFiles list_text_files(std::span<const fs::path> paths, const ListOptions& options) {
    TextFiles found;
    Walk walk(options, found);
    std::string names;
    for (const fs::path& path : paths) {
        names += (names.empty() ? "" : ", ") + path.string();
        walk.add(path);
    }
    require_files(found, names);
    return found;
}

void check_contents(TextFiles& found) {
    const std::string first = found.files.front().path.string();
    std::erase_if(found.files, [&](const TextFile& file) {
        const std::optional<Reason> reason = why_no_text(file);
        if (!reason) return false;
        require(!file.named || reason != Reason::binary, "{}: binary, not text", file.path.string());
        require(!file.named || reason != Reason::encoding,
                "{}: the text is UTF-16 or of another encoding, expected UTF-8 (iconv converts it)",
                file.path.string());
        found.left_out.add(*reason, file.path.string());
        return true;
    });
    require_files(found, first);
}

}  // namespace dropforge::data
