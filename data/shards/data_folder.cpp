#include "data/shards/data_folder.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace dropforge::data {

namespace {

constexpr const char *kLock = "prepare.lock", *kNew = ".prepare-new";

bool is_number(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

/// What `prepare` writes, under its name or the temporary one before it.
bool is_ours(std::string_view name) {
    name = final_name(name);
    if (name == "vocab.txt" || name == Receipt::kFile) return true;
    constexpr std::string_view kShard = ".shard";
    if (!name.ends_with(kShard)) return false;
    name.remove_suffix(kShard.size());
    const size_t dash = name.find('-');
    const std::string_view split = name.substr(0, dash);
    return dash != std::string_view::npos && is_number(name.substr(dash + 1)) &&
           (split == name_of(Split::train) || split == name_of(Split::validation));
}

std::vector<fs::path> files_in(const fs::path& folder) {
    std::vector<fs::path> files;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder))
        if (!entry.is_directory()) files.push_back(entry.path());
    return files;
}

bool holds_data(const fs::path& folder) {
    return std::ranges::any_of(files_in(folder),
                               [](const fs::path& file) { return is_ours(file.filename().string()); });
}

using MadeFrom = std::map<std::string, std::string>;

/// Error that names the first setting in which the two differ. A key that only one of them has is an option that is not
/// set in the other.
void require_same(const MadeFrom& existing, const MadeFrom& current, const fs::path& folder) {
    const auto value = [](const MadeFrom& made_from, const std::string& key) {
        const auto found = made_from.find(key);
        return found == made_from.end() ? "none" : found->second;
    };
    MadeFrom all = current;
    all.insert(existing.begin(), existing.end());
    for (const auto& [key, any] : all)
        require(value(existing, key) == value(current, key),
                "{}: holds other data ({} is {} in the folder, {} now): choose another folder, or --overwrite",
                folder.string(), key, value(existing, key), value(current, key));
}

}  // namespace

DataFolder::DataFolder(const fs::path& folder) : folder_(folder), place_(folder) {
    for (const fs::path& created : make_folders(folder)) created_folders_.add([created] { fs::remove(created); });
    require(fs::is_directory(folder), "{}: not a folder", folder.string());
    lock_.emplace(folder / kLock, IfHeld::give_up);
    require(lock_->held(), "{}: another prepare is writing there", folder.string());
    was_ours_ = !lock_->created();
}

DataFolder::~DataFolder() {
    if (released_ || !lock_->held()) return;
    std::error_code ignored;
    if (claimed_ && place_ != folder_)
        fs::remove_all(place_, ignored);
    else if (claimed_)
        remove_data();
    if (claimed_ || !was_ours_) lock_->remove();
}

std::optional<Receipt> DataFolder::claim(const std::map<std::string, std::string>& made_from, bool overwrite) {
    if (fs::exists(folder_ / kNew / Receipt::kFile)) replace_data();  // complete: a kill interrupted the replacement
    std::error_code ignored;
    fs::remove_all(folder_ / kNew, ignored);
    const bool complete = fs::exists(folder_ / Receipt::kFile);
    if (complete && !overwrite) {
        Receipt receipt = Receipt::load(folder_);
        require_same(receipt.made_from, made_from, folder_);
        return receipt;
    }
    if (!complete && !was_ours_ && !overwrite) {
        for (const fs::directory_entry& entry : fs::directory_iterator(folder_)) {
            require(entry.path().filename() == kLock,
                    "{}: not empty and not a data folder (it holds {}): choose another, or --overwrite",
                    folder_.string(), entry.path().filename().string());
        }
    }
    claimed_ = true;
    if (!overwrite || !holds_data(folder_)) {
        remove_data();
    } else {
        place_ = folder_ / kNew;
        make_folders(place_);
    }
    return std::nullopt;
}

/// All of it but `kept`.
void DataFolder::remove_data(const std::set<fs::path>& kept) {
    std::error_code error;
    if (fs::remove(folder_ / Receipt::kFile, error)) sync_folder(folder_);  // first: marks the folder as incomplete
    for (const fs::path& file : files_in(folder_)) {
        const fs::path name = file.filename();
        if (is_ours(name.string()) && !kept.contains(name) && !fs::remove(file, error))
            notes_.push_back(fmt::format("{}: cannot be removed: {}", file.string(), error.message()));
    }
}

/// After a kill in the middle, some of the new files are in their place already.
void DataFolder::replace_data() {
    const fs::path fresh = folder_ / kNew;
    const Receipt receipt = Receipt::load(fresh);
    std::set<fs::path> names = {"vocab.txt"};
    for (const Split split : {Split::train, Split::validation})
        for (const ShardEntry& shard : receipt.shards(split)) names.insert(shard.file);
    remove_data(names);
    for (const fs::path& file : files_in(fresh))
        if (file.filename() != Receipt::kFile) fs::rename(file, folder_ / file.filename());
    sync_folder(folder_);
    rename_durably(fresh / Receipt::kFile, folder_ / Receipt::kFile);  // last: completes the folder
    std::error_code error;
    if (!fs::remove(fresh, error))
        notes_.push_back(fmt::format("{}: cannot be removed: {}", fresh.string(), error.message()));
}

std::vector<std::string> DataFolder::release() {
    released_ = true;
    if (claimed_ && place_ != folder_) replace_data();
    created_folders_.commit();
    lock_->remove();
    return std::move(notes_);
}

}  // namespace dropforge::data
