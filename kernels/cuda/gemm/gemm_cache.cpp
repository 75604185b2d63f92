#include "kernels/cuda/gemm/gemm_cache.h"

#include <fmt/ranges.h>
#include <xxhash.h>

#include <cctype>
#include <cstdlib>
#include <sstream>

#include "base/error.h"
#include "base/file_lock.h"

namespace dropforge::kernels::on_cuda {

namespace {

constexpr const char* kTitle = "Dropforge's choice of cuBLASLt algorithms, version 1";

/// The folder of the file; empty if DROPFORGE_CACHE is empty, or if no home is known.
fs::path folder() {
    if (const char* named = std::getenv("DROPFORGE_CACHE")) return named;
    if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache == '/')
        return fs::path(cache) / "dropforge";
    if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/')
        return fs::path(home) / ".cache" / "dropforge";
    return {};
}

std::string file_name(const std::string& gpu, int64_t driver, int64_t library) {
    std::string name = fmt::format("gemm-{}-{}-{}", gpu, driver, library);
    for (char& c : name)
        if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '.') c = '-';
    return name + ".txt";
}

std::string last_line(const std::string& text) {
    return fmt::format("checksum {:016x}\n", XXH64(text.data(), text.size(), 0));
}

}  // namespace

GemmCache::GemmCache(const std::string& gpu, int64_t driver, int64_t library)
    : machine_(fmt::format("{} | driver {} | cuBLASLt {}", gpu, driver, library)) {
    if (const fs::path place = folder(); !place.empty()) path_ = place / file_name(gpu, driver, library);
    algorithms_ = read(trouble_);
}

/// Parses the lines: the title, the machine, "8 words, microseconds, key" for each GEMM, the checksum of all before.
GemmCache::Algorithms GemmCache::read(std::string& trouble) const {
    std::error_code error;
    if (path_.empty() || !fs::is_regular_file(path_, error)) return {};
    std::string text;
    try {
        text = read_text(path_);
    } catch (const Error& failure) {
        trouble = failure.what();
        return {};
    }
    trouble = fmt::format("{}: damaged", path_.string());
    const size_t last = text.rfind("checksum ");
    if (last == std::string::npos || text.substr(last) != last_line(text.substr(0, last))) return {};
    std::istringstream lines(text.substr(0, last));
    std::string line;
    if (!std::getline(lines, line) || line != kTitle) return {};
    if (!std::getline(lines, line) || line != machine_) {
        trouble = fmt::format("{}: of another machine or version ({}, this is {})", path_.string(), line, machine_);
        return {};
    }
    Algorithms algorithms;
    while (std::getline(lines, line)) {
        std::istringstream fields(line);
        StoredAlgorithm algorithm;
        std::string key;
        fields >> std::hex;
        for (uint64_t& word : algorithm.words) fields >> word;
        fields >> algorithm.microseconds >> std::ws;
        if (!std::getline(fields, key)) return {};
        algorithms.insert_or_assign(key, algorithm);
    }
    trouble.clear();
    return algorithms;
}

std::optional<StoredAlgorithm> GemmCache::find(const std::string& key) const {
    const auto found = algorithms_.find(key);
    return found == algorithms_.end() ? std::nullopt : std::optional(found->second);
}

std::string GemmCache::store(const std::string& key, const StoredAlgorithm& algorithm) {
    algorithms_.insert_or_assign(key, algorithm);
    if (path_.empty()) return {};
    try {
        make_folders(path_.parent_path());
        fs::path lock_path = path_;
        // Held from the read to the write, or what another process adds between them would be lost.
        const FileLock lock(lock_path += ".lock", IfHeld::wait);
        Algorithms all = algorithms_;
        std::string ignored;  // a damaged file is replaced
        all.merge(read(ignored));
        std::string text = fmt::format("{}\n{}\n", kTitle, machine_);
        for (const auto& [name, stored] : all)
            text += fmt::format("{:016x} {:.3f} {}\n", fmt::join(stored.words, " "), stored.microseconds, name);
        text += last_line(text);
        write_text(path_, text);
    } catch (const Error& failure) {
        return failure.what();
    }
    return {};
}

}  // namespace dropforge::kernels::on_cuda
