// The output folder of `prepare`: who may write there, and what is left of a run that was killed.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/file_lock.h"
#include "base/rollback.h"
#include "data/shards/receipt.h"

namespace dropforge::data {

/// Holds the folder for one writer, by a lock on the file prepare.lock, which also marks a folder as one of ours that
/// is not whole yet. An object that goes without release() leaves the folder as it was.
class DataFolder {
  public:
    /// Creates the folder if need be and locks it. Throws Error if another process is writing there.
    explicit DataFolder(const fs::path& folder);
    ~DataFolder();
    DataFolder(const DataFolder&) = delete;
    DataFolder& operator=(const DataFolder&) = delete;

    /// The receipt if the folder is whole and made from the same. Else makes room in place(): removes what a killed run
    /// has left, but no whole data. Throws Error if the folder holds other data or other files and `overwrite` is off.
    std::optional<Receipt> claim(const std::map<std::string, std::string>& made_from, bool overwrite);
    /// Where new data belong until they are whole: the folder itself, or one inside it while there are some to replace.
    const fs::path& place() const { return place_; }
    /// The data in place() are whole: they take the place of those that are there, and the mark goes away. Returns what
    /// could not be removed. A kill in the middle leaves a folder that is not whole, and that claim() makes so.
    std::vector<std::string> release();

  private:
    void remove_data(const std::set<fs::path>& kept = {});
    void replace_data();

    fs::path folder_, place_;
    bool was_ours_ = false, claimed_ = false, released_ = false;
    std::vector<std::string> notes_;
    Rollback made_;  // the folders
    std::optional<FileLock> lock_;
};

}  // namespace dropforge::data
