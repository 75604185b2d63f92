// The output folder of `prepare`: its lock, and the state after a killed run.
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

/// Locks the folder for one writer, by the file prepare.lock, which also marks it as an incomplete data folder. Without
/// a call of release() the destructor restores the folder.
class DataFolder {
  public:
    /// Creates the folder if it is missing, and locks it. Error if another process is writing there.
    explicit DataFolder(const fs::path& folder);
    ~DataFolder();
    DataFolder(const DataFolder&) = delete;
    DataFolder& operator=(const DataFolder&) = delete;

    /// The receipt, if the folder is complete and `made_from` is the same. Else makes room in place(): removes the
    /// leftovers of a killed run, but no complete data. Error if the folder holds other data or files and `overwrite`
    /// is off.
    std::optional<Receipt> claim(const std::map<std::string, std::string>& made_from, bool overwrite);
    /// The folder for new data until they are complete: the folder itself, or one inside it if there are data to
    /// replace.
    const fs::path& place() const { return place_; }
    /// Called when the data in place() are complete: replaces the old data by them and removes the mark. Returns notes
    /// about data that could not be removed. After a kill in between, the next claim() completes it.
    std::vector<std::string> release();

  private:
    void remove_data(const std::set<fs::path>& kept = {});
    void replace_data();

    fs::path folder_, place_;
    bool was_ours_ = false, claimed_ = false, released_ = false;
    std::vector<std::string> notes_;
    Rollback created_folders_;
    std::optional<FileLock> lock_;
};

}  // namespace dropforge::data
