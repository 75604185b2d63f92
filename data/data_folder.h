// The output folder of `prepare`: who may write there, and what is left of a run that was killed.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "data/receipt.h"

namespace dropforge::data {

/// Holds the folder for one writer, by a lock on the file prepare.lock, which also marks a folder as one of ours that
/// is not whole yet.
class DataFolder {
  public:
    /// Creates the folder if need be and locks it. Throws Error if another process is writing there.
    explicit DataFolder(const fs::path& folder);
    ~DataFolder();
    DataFolder(const DataFolder&) = delete;
    DataFolder& operator=(const DataFolder&) = delete;

    /// The receipt if the folder is whole and made from the same. Else makes room: removes what a killed run has left,
    /// and, with `overwrite`, a whole data folder. Throws Error if the folder holds other data or other files and
    /// `overwrite` is off.
    std::optional<Receipt> claim(const std::map<std::string, std::string>& made_from, bool overwrite);
    /// The folder is whole: takes the mark away.
    void release();

  private:
    void remove_data();

    fs::path folder_, lock_path_;
    bool created_, was_ours_ = false, claimed_ = false, released_ = false;
    int lock_ = -1;
};

}  // namespace dropforge::data
