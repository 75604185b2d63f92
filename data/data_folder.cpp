#include "data/data_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace dropforge::data {

namespace {

constexpr const char* kLock = "prepare.lock";

bool is_number(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

/// What `prepare` writes, under its name or the temporary one before it.
bool is_ours(std::string_view name) {
    const size_t temporary = name.rfind(".tmp");
    if (temporary != std::string_view::npos && is_number(name.substr(temporary + 4))) name = name.substr(0, temporary);
    if (name == "vocab.txt" || name == Receipt::kFile) return true;
    constexpr std::string_view kShard = ".shard";
    if (!name.ends_with(kShard)) return false;
    name.remove_suffix(kShard.size());
    const size_t dash = name.find('-');
    const std::string_view split = name.substr(0, dash);
    return dash != std::string_view::npos && is_number(name.substr(dash + 1)) &&
           (split == name_of(Split::train) || split == name_of(Split::validation));
}

}  // namespace

DataFolder::DataFolder(const fs::path& folder) : folder_(folder), lock_path_(folder / kLock) {
    std::error_code error;
    created_ = fs::create_directories(folder, error);
    require(!error, "{}: cannot make the folder: {}", folder.string(), error.message());
    require(fs::is_directory(folder), "{}: not a folder", folder.string());
    was_ours_ = fs::exists(lock_path_);
    lock_ = open(lock_path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    require(lock_ >= 0, "{}: cannot write: {}", lock_path_.string(), std::strerror(errno));
    if (flock(lock_, LOCK_EX | LOCK_NB) != 0) {
        close(lock_);
        throw Error("{}: another prepare is writing there", folder.string());
    }
}

DataFolder::~DataFolder() {
    if (!released_) {  // failed: leave the folder as it was found, without half of the data
        if (claimed_) remove_data();
        if (claimed_ || !was_ours_) unlink(lock_path_.c_str());
        std::error_code ignored;
        if (created_) fs::remove(folder_, ignored);
    }
    close(lock_);
}

std::optional<Receipt> DataFolder::claim(const std::map<std::string, std::string>& made_from, bool overwrite) {
    const bool whole = fs::exists(folder_ / Receipt::kFile);
    if (whole && !overwrite) {
        Receipt receipt = Receipt::load(folder_);
        for (const auto& [key, value] : made_from) {
            const auto there = receipt.made_from.find(key);
            const std::string other = there == receipt.made_from.end() ? "none" : there->second;
            require(other == value,
                    "{}: holds other data ({} is {} there, {} here): choose another folder, or --overwrite",
                    folder_.string(), key, other, value);
        }
        return receipt;
    }
    if (!whole && !was_ours_ && !overwrite) {
        for (const fs::directory_entry& entry : fs::directory_iterator(folder_)) {
            require(entry.path().filename() == kLock,
                    "{}: not empty and not a data folder (it holds {}): choose another, or --overwrite",
                    folder_.string(), entry.path().filename().string());
        }
    }
    claimed_ = true;
    remove_data();
    return std::nullopt;
}

// dataset.json first: from then on the folder is not whole.
void DataFolder::remove_data() {
    std::error_code ignored;
    if (fs::remove(folder_ / Receipt::kFile, ignored)) sync_folder(folder_);
    std::vector<fs::path> files;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder_, ignored)) {
        if (is_ours(entry.path().filename().string())) files.push_back(entry.path());
    }
    for (const fs::path& file : files) fs::remove(file, ignored);
}

void DataFolder::release() {
    released_ = true;
    unlink(lock_path_.c_str());
}

}  // namespace dropforge::data
