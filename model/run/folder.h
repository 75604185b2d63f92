// The folder of a run: one run, one process, and checkpoints that are intact or absent.
//   config.toml   metrics.jsonl   events.out.tfevents.*   .lock
//   checkpoints/step-00001000/   checkpoints/.step-00002000.tmp<pid>/   checkpoints/set-aside-step-00003000/
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/file_lock.h"
#include "base/rollback.h"
#include "model/config/config.h"

namespace dropforge {

struct Checkpoint {
    int64_t step = 0;
    fs::path path;
};

/// Finished checkpoints under RUN/checkpoints by step, ascending; unfinished and set-aside ones are left out. Contents
/// are not looked at.
std::vector<Checkpoint> list_checkpoints(const fs::path& run);

/// The checkpoint to go on from. `which`: "auto" is the newest of the run, none if there is none yet; else the path of
/// a checkpoint. Every byte is checked: a damaged one throws Error with file, offset, checksums, and the newest intact
/// one before it as --resume PATH.
std::optional<Checkpoint> find_checkpoint(const fs::path& run, const std::string& which);

/// The configuration that a run folder was last used with; none if it holds no run yet. Throws Error if it was damaged.
std::optional<RunConfig> recorded_config(const fs::path& run);

/// The configuration of a run, as its folder keeps it in config.toml.
struct RunRecord {
    std::string toml;
    /// "" if `recorded`, what the file `where` keeps, is of the same run, else where the two differ. Throws Error if it
    /// is no configuration.
    std::function<std::string(const std::string& recorded, const std::string& where)> difference;
    std::string may_hold = {};  // the name of what the folder may hold before the run has begun in it
};

/// Held while a process trains into a run folder. Before begin(), nothing of what the folder holds is changed, and an
/// object that goes without it takes back what it has made: the folder itself, if there was none.
class RunFolder {
  public:
    /// Makes the folder, or opens that of the same run if `resume`, and locks it. Throws Error if the folder holds a
    /// run and resume is off, another run (RunRecord::difference), or something else, or if another process holds the
    /// lock (its process id).
    RunFolder(const fs::path& path, const RunRecord& record, bool resume);
    /// The same for the run of a RunConfig.
    RunFolder(const fs::path& path, const RunConfig& config, bool resume);

    const fs::path& path() const { return path_; }
    /// The run goes on after `step`, which is nothing that can still fail: writes config.toml, removes what killed
    /// processes left unfinished, and renames the checkpoints after `step` to set-aside-step-…, since a run that goes
    /// on from an older one has another future. Returns their new names. `others` makes what else belongs to the
    /// beginning: if it throws, or anything here does, all is as it was.
    std::vector<fs::path> begin(
        int64_t step, const std::function<void()>& others = [] {});
    /// Removes all but the newest `keep_last` checkpoints and those at multiples of `keep_every` (0: none). The newest
    /// complete one is always kept.
    void prune(int64_t keep_last, int64_t keep_every);
    /// Texts of what could not be removed, once each: no reason for the run to stop.
    std::vector<std::string> take_notes() { return std::exchange(notes_, {}); }

  private:
    void lock();
    std::vector<fs::path> set_aside_after(int64_t step, Rollback& changes);
    void remove(const fs::path& path);
    void remove_unfinished(const fs::path& folder);

    fs::path path_;
    std::string config_;  // what config.toml is to hold
    std::set<fs::path> not_removed_;
    std::vector<std::string> notes_;
    std::optional<FileLock> lock_;
    Rollback changes_;  // after lock_, which it needs
};

/// A checkpoint in the making: fill path() with at least kCheckpointFiles (manifest.h), then commit(). Until then, and
/// without it, the run has no trace of it but a hidden folder that goes with the writer, or when the run is next
/// begun.
class CheckpointWriter {
  public:
    CheckpointWriter(const RunFolder& run, int64_t step);
    ~CheckpointWriter();
    CheckpointWriter(const CheckpointWriter&) = delete;
    CheckpointWriter& operator=(const CheckpointWriter&) = delete;

    const fs::path& path() const { return temporary_; }
    /// Writes the manifest, makes everything durable, renames. Returns the checkpoint. Throws Error if the checkpoint
    /// is there already or a file is missing.
    Checkpoint commit();

  private:
    Checkpoint checkpoint_;
    fs::path temporary_;
};

}  // namespace dropforge
