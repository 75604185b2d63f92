// The folder of a run: one run, one process, and checkpoints that are whole or absent.
//   config.toml   metrics.jsonl   events.out.tfevents.*   .lock
//   checkpoints/step-00001000/   checkpoints/.step-00002000.tmp<pid>/
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "model/run_config.h"

namespace dropforge {

struct Checkpoint {
    int64_t step = 0;
    fs::path path;
};

/// Finished checkpoints under RUN/checkpoints by step, ascending; unfinished and set-aside ones are left out. Contents
/// are not looked at.
std::vector<Checkpoint> list_checkpoints(const fs::path& run);

/// The checkpoint to go on from. `which`: "auto" is the newest of the run, none if there is none yet; else the path of
/// a checkpoint. Every byte is checked: a damaged one throws Error with file, offset, checksums, and the newest whole
/// older one as --resume PATH.
std::optional<Checkpoint> find_checkpoint(const fs::path& run, const std::string& which);

/// The configuration that a run folder was last used with; none if it holds no run yet.
std::optional<RunConfig> recorded_config(const fs::path& run);

/// Held while a process trains into a run folder.
class RunFolder {
  public:
    /// Creates the folder, or opens that of the same run if `resume`, locks it, removes what killed processes left
    /// unfinished, and writes config.toml. Throws Error, and changes nothing, if the folder holds a run and resume is
    /// off, another run (its first key that differs), or something else, or if another process holds the lock (its
    /// process id).
    RunFolder(const fs::path& path, const RunConfig& config, bool resume);
    ~RunFolder();
    RunFolder(const RunFolder&) = delete;
    RunFolder& operator=(const RunFolder&) = delete;

    const fs::path& path() const { return path_; }
    /// Takes back what the constructor wrote: the folder if this object made it and nothing came into it since, else
    /// the configuration that was there. A run that could not begin leaves no trace.
    void undo();
    /// Renames the checkpoints after `step` to set-aside-step-…: a run that goes on from an older one has another
    /// future. Returns the new names.
    std::vector<fs::path> set_aside_after(int64_t step);
    /// Removes all but the newest `keep_last` checkpoints and those at multiples of `keep_every` (0: none). The newest
    /// that has all its parts always stays.
    void prune(int64_t keep_last, int64_t keep_every);

  private:
    fs::path path_;
    bool made_ = false;                         // by this object
    std::optional<std::string> config_before_;  // what config.toml held
    int lock_ = -1;
};

/// A checkpoint in the making: fill path() with at least kCheckpointFiles (manifest.h), then commit(). Until then, and
/// without it, the run has no trace of it but a hidden folder that goes with the writer, or when the run is next
/// opened.
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
