#include "model/run/folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "base/error.h"
#include "model/checkpoint/manifest.h"

namespace dropforge {

namespace {

constexpr std::string_view kStep = "step-";
constexpr const char *kCheckpoints = "checkpoints", *kConfig = "config.toml", *kLock = ".lock";

std::string step_name(int64_t step) { return fmt::format("{}{:08}", kStep, step); }

/// Of a checkpoint's folder name, exactly as step_name() writes it.
std::optional<int64_t> step_of(const std::string& name) {
    if (!name.starts_with(kStep)) return {};
    int64_t step = 0;
    std::from_chars(name.data() + kStep.size(), name.data() + name.size(), step);
    if (step < 0 || name != step_name(step)) return {};
    return step;
}

/// As AtomicFile and CheckpointWriter call what is not finished.
bool is_temporary(const std::string& name) { return final_name(name) != name; }

fs::path hidden_name(const fs::path& checkpoints, int64_t step) {
    return checkpoints / fmt::format(".{}.tmp{}", step_name(step), getpid());
}

void sync_file(const fs::path& path) {
    const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    const bool synced = descriptor >= 0 && fsync(descriptor) == 0;
    const int error = errno;
    if (descriptor >= 0) close(descriptor);
    require(synced, "{}: cannot sync: {}", path.string(), std::strerror(error));
}

/// A record of a run's configuration begins with this and the checksum of all that follows; older ones have neither.
constexpr std::string_view kSeal = "# xxhash64 of what follows: ";

std::string sealed(const std::string& toml) {
    return fmt::format("{}{:016x}\n{}", kSeal, XXH64(toml.data(), toml.size(), 0), toml);
}

std::string read_record(const fs::path& file) {
    std::string text = read_text(file);
    const bool intact = text.starts_with('#') ? text == sealed(text.substr(text.find('\n') + 1)) : !text.empty();
    require(intact,
            "{}: damaged, or changed by hand: its checksum is another (without its first line it counts as it is)",
            file.string());
    return text;
}

RunRecord record_of(const RunConfig& config) {
    return {.toml = config.to_toml(), .difference = [config](const std::string& recorded, const std::string& where) {
                return config.difference(RunConfig::from_toml(recorded, where));
            }};
}

/// Throws Error unless the folder is absent, empty but for what a run killed at its start leaves, or holds this run.
void require_own_folder(const fs::path& path, const RunRecord& record, bool resume) {
    if (!fs::exists(path)) return;
    const std::string name = path.string();
    require(fs::is_directory(path), "{}: exists and is not a folder; choose another --out", name);
    if (!fs::exists(path / kConfig)) {
        for (const auto& entry : fs::directory_iterator(path)) {
            const std::string found = entry.path().filename().string();
            require(found == kLock || found == record.may_hold || (found.starts_with(kConfig) && is_temporary(found)),
                    "{}: holds something that is not a run ({}); choose another --out", name, found);
        }
        return;
    }
    require(resume, "{}: holds a run already; go on with --resume auto, or choose another --out", name);
    const fs::path config = path / kConfig;
    const std::string difference = record.difference(read_record(config), config.string());
    require(difference.empty(), "{}: holds another run: {}; choose another --out", name, difference);
}

/// The newest intact checkpoint before `step`, as advice.
std::string older_intact(const fs::path& run, int64_t step) {
    auto all = list_checkpoints(run);
    std::erase_if(all, [&](const Checkpoint& checkpoint) { return checkpoint.step >= step; });
    for (auto checkpoint = all.rbegin(); checkpoint != all.rend(); ++checkpoint)
        if (damage(checkpoint->path).empty())
            return fmt::format("the one of step {} is intact: --resume {}", checkpoint->step,
                               checkpoint->path.string());
    return "there is no older intact one; start again with another --out";
}

}  // namespace

std::vector<Checkpoint> list_checkpoints(const fs::path& run) {
    std::vector<Checkpoint> found;
    if (!fs::is_directory(run / kCheckpoints)) return found;
    for (const auto& entry : fs::directory_iterator(run / kCheckpoints))
        if (const auto step = step_of(entry.path().filename().string()); step && entry.is_directory())
            found.push_back({*step, entry.path()});
    std::ranges::sort(found, {}, &Checkpoint::step);
    return found;
}

std::optional<Checkpoint> find_checkpoint(const fs::path& run, const std::string& which) {
    Checkpoint checkpoint;
    if (which == "auto") {
        const auto all = list_checkpoints(run);
        if (all.empty()) return {};
        checkpoint = all.back();
    } else {
        checkpoint.path = fs::path(which) / "";  // with or without a slash at the end
        checkpoint.path = checkpoint.path.parent_path();
        require(fs::is_directory(checkpoint.path), "--resume: there is no folder {}", which);
        const auto step = step_of(fs::absolute(checkpoint.path).lexically_normal().filename().string());
        require(step.has_value(), "--resume: expected a checkpoint, a folder named step-…, got {}", which);
        checkpoint.step = *step;
    }
    const std::string fault = damage(checkpoint.path);
    require(fault.empty(), "checkpoint of step {} is damaged: {}; {}", checkpoint.step, fault,
            fault.empty() ? "" : older_intact(run, checkpoint.step));
    return checkpoint;
}

std::optional<RunConfig> recorded_config(const fs::path& run) {
    const fs::path file = run / kConfig;
    if (!fs::is_regular_file(file)) return {};
    return RunConfig::from_toml(read_record(file), file.string());
}

RunFolder::RunFolder(const fs::path& path, const RunConfig& config, bool resume)
    : RunFolder(path, record_of(config), resume) {}

RunFolder::RunFolder(const fs::path& path, const RunRecord& record, bool resume)
    : path_(path), config_(sealed(record.toml)) {
    require_own_folder(path, record, resume);
    for (const fs::path& folder : make_folders(path)) changes_.add([folder] { fs::remove(folder); });
    lock();
    require_own_folder(path, record, resume);  // again, as nobody else can change it now
}

void RunFolder::lock() {
    const fs::path file = path_ / kLock;
    lock_.emplace(file, IfHeld::give_up);
    if (!lock_->held()) throw Error("{}: process {} is training into this run", path_.string(), read_text(file));
    if (lock_->created()) {
        changes_.add([this] { lock_->remove(); });
    } else {
        changes_.add([this, before = read_text(file)] { lock_->write(before); });
    }
    lock_->write(std::to_string(getpid()));
}

std::vector<fs::path> RunFolder::begin(int64_t step, const std::function<void()>& others) {
    // What needs room on the disk comes first, under a temporary name: taking back is renaming only.
    const fs::path config = path_ / kConfig;
    std::optional<AtomicFile> before;
    if (fs::exists(config)) {
        before.emplace(config);
        before->write(read_text(config));
        before->sync();
    }
    Rollback changes;
    write_text(config, config_);
    changes.add([&] {
        if (before)
            before->commit();
        else
            fs::remove(config);
    });
    const fs::path checkpoints = path_ / kCheckpoints;
    for (const fs::path& folder : make_folders(checkpoints)) changes.add([folder] { fs::remove(folder); });
    require(fs::is_directory(checkpoints), "{}: not a folder", checkpoints.string());
    std::vector<fs::path> aside = set_aside_after(step, changes);
    others();
    changes.commit();
    changes_.commit();
    remove_unfinished(path_);
    remove_unfinished(checkpoints);
    return aside;
}

std::vector<fs::path> RunFolder::set_aside_after(int64_t step, Rollback& changes) {
    std::vector<fs::path> renamed;
    for (const Checkpoint& checkpoint : list_checkpoints(path_)) {
        if (checkpoint.step <= step) continue;
        const std::string name = "set-aside-" + step_name(checkpoint.step);
        fs::path to = path_ / kCheckpoints / name;
        for (int copy = 2; fs::exists(to); ++copy) to.replace_filename(fmt::format("{}-{}", name, copy));
        rename_durably(checkpoint.path, to);
        changes.add([from = checkpoint.path, to] { fs::rename(to, from); });
        renamed.push_back(to);
    }
    return renamed;
}

/// A clean-up that fails is no reason to stop: the next start tries again.
void RunFolder::remove(const fs::path& path) {
    std::error_code error;
    fs::remove_all(path, error);
    if (error && not_removed_.insert(path).second)
        notes_.push_back(fmt::format("{}: cannot be removed: {}", path.string(), error.message()));
}

void RunFolder::remove_unfinished(const fs::path& folder) {
    std::vector<fs::path> unfinished;
    for (const auto& entry : fs::directory_iterator(folder))
        if (is_temporary(entry.path().filename().string())) unfinished.push_back(entry.path());
    for (const fs::path& path : unfinished) remove(path);
}

void RunFolder::prune(int64_t keep_last, int64_t keep_every) {
    const auto all = list_checkpoints(path_);
    const auto complete = std::find_if(
        all.rbegin(), all.rend(), [](const Checkpoint& checkpoint) { return missing_part(checkpoint.path).empty(); });
    const int64_t newest_complete = complete == all.rend() ? -1 : complete->step;
    for (size_t i = 0; i < all.size(); ++i) {
        const bool among_last = static_cast<int64_t>(all.size() - i) <= keep_last;
        const bool for_good = keep_every > 0 && all[i].step % keep_every == 0;
        if (among_last || for_good || all[i].step == newest_complete) continue;
        // Gone at once under its own name, so that a kill in the middle leaves no half checkpoint.
        const fs::path hidden = hidden_name(path_ / kCheckpoints, all[i].step);
        try {
            rename_durably(all[i].path, hidden);
        } catch (const Error& error) {
            if (not_removed_.insert(all[i].path).second) notes_.emplace_back(error.what());
            continue;
        }
        remove(hidden);
    }
}

CheckpointWriter::CheckpointWriter(const RunFolder& run, int64_t step)
    : checkpoint_{step, run.path() / kCheckpoints / step_name(step)},
      temporary_(hidden_name(run.path() / kCheckpoints, step)) {
    std::error_code ignored;  // mkdir fails if the folder still exists
    fs::remove_all(temporary_, ignored);
    require(mkdir(temporary_.c_str(), 0777) == 0, "{}: cannot create: {}", temporary_.string(), std::strerror(errno));
}

CheckpointWriter::~CheckpointWriter() {
    std::error_code ignored;  // the next start removes the rest
    if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

Checkpoint CheckpointWriter::commit() {
    require(!fs::exists(checkpoint_.path), "{}: exists already", checkpoint_.path.string());
    write_manifest(temporary_);
    for (const auto& entry : fs::directory_iterator(temporary_)) sync_file(entry.path());
    sync_folder(temporary_);
    rename_durably(temporary_, checkpoint_.path);
    temporary_.clear();
    return checkpoint_;
}

}  // namespace dropforge
