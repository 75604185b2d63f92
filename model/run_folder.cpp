#include "model/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "base/error.h"
#include "model/manifest.h"

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

/// NAME.tmp<process id>, as AtomicFile and CheckpointWriter call what is not finished.
bool is_temporary(const std::string& name) {
    const size_t mark = name.rfind(".tmp");
    return mark != std::string::npos && mark + 4 < name.size() &&
           std::all_of(name.begin() + static_cast<std::ptrdiff_t>(mark) + 4, name.end(),
                       [](char c) { return c >= '0' && c <= '9'; });
}

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

/// Throws Error unless the folder is absent, empty but for what a run killed at its start leaves, or holds this run.
void require_own_folder(const fs::path& path, const RunConfig& config, bool resume) {
    if (!fs::exists(path)) return;
    const std::string name = path.string();
    require(fs::is_directory(path), "{}: exists and is not a folder; choose another --out", name);
    if (!fs::exists(path / kConfig)) {
        for (const auto& entry : fs::directory_iterator(path)) {
            const std::string found = entry.path().filename().string();
            require(found == kLock || (found.starts_with(kConfig) && is_temporary(found)),
                    "{}: holds something that is not a run ({}); choose another --out", name, found);
        }
        return;
    }
    require(resume, "{}: holds a run already; go on with --resume auto, or choose another --out", name);
    const std::string difference = config.difference(RunConfig::load((path / kConfig).string()));
    require(difference.empty(), "{}: holds another run: {}; choose another --out", name, difference);
}

/// The locked file's descriptor. The kernel gives the lock back when the process ends, however it ends.
int lock_folder(const fs::path& path) {
    const fs::path file = path / kLock;
    const int descriptor = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    require(descriptor >= 0, "{}: cannot write: {}", file.string(), std::strerror(errno));
    if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
        const int error = errno;
        close(descriptor);
        require(error == EWOULDBLOCK, "{}: cannot lock: {}", file.string(), std::strerror(error));
        throw Error("{}: process {} is training into this run", path.string(), read_text(file));
    }
    const std::string id = std::to_string(getpid());
    if (ftruncate(descriptor, 0) != 0 || write(descriptor, id.data(), id.size()) != static_cast<ssize_t>(id.size())) {
        const int error = errno;
        close(descriptor);
        throw Error("{}: cannot write: {}", file.string(), std::strerror(error));
    }
    return descriptor;
}

void remove_unfinished(const fs::path& folder) {
    std::vector<fs::path> unfinished;
    for (const auto& entry : fs::directory_iterator(folder))
        if (is_temporary(entry.path().filename().string())) unfinished.push_back(entry.path());
    for (const fs::path& path : unfinished) fs::remove_all(path);
}

/// Gone at once under its own name, so that a kill in the middle leaves no half checkpoint.
void remove_checkpoint(const Checkpoint& checkpoint) {
    const fs::path hidden = hidden_name(checkpoint.path.parent_path(), checkpoint.step);
    fs::rename(checkpoint.path, hidden);
    fs::remove_all(hidden);
}

/// The newest whole checkpoint before `step`, as advice.
std::string older_whole(const fs::path& run, int64_t step) {
    auto all = list_checkpoints(run);
    std::erase_if(all, [&](const Checkpoint& checkpoint) { return checkpoint.step >= step; });
    for (auto checkpoint = all.rbegin(); checkpoint != all.rend(); ++checkpoint)
        if (damage(checkpoint->path).empty())
            return fmt::format("the one of step {} is whole: --resume {}", checkpoint->step, checkpoint->path.string());
    return "there is no older whole one; start again with another --out";
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
            fault.empty() ? "" : older_whole(run, checkpoint.step));
    return checkpoint;
}

std::optional<RunConfig> recorded_config(const fs::path& run) {
    if (!fs::is_regular_file(run / kConfig)) return {};
    return RunConfig::load((run / kConfig).string());
}

RunFolder::RunFolder(const fs::path& path, const RunConfig& config, bool resume) : path_(path) {
    require_own_folder(path, config, resume);
    std::error_code error;
    made_ = fs::create_directories(path, error);
    require(!error, "{}: cannot create: {}", path.string(), error.message());
    lock_ = lock_folder(path);
    try {
        require_own_folder(path, config, resume);  // again, as nobody else can change it now
        remove_unfinished(path);
        if (fs::exists(path / kConfig)) config_before_ = read_text(path / kConfig);
        write_text(path / kConfig, config.to_toml());
        fs::create_directory(path / kCheckpoints);
        remove_unfinished(path / kCheckpoints);
    } catch (...) {
        close(lock_);
        throw;
    }
}

RunFolder::~RunFolder() { close(lock_); }

void RunFolder::undo() {
    if (config_before_) write_text(path_ / kConfig, *config_before_);
    std::error_code error;
    if (!made_ || !fs::is_empty(path_ / kCheckpoints, error)) return;
    for (const auto& entry : fs::directory_iterator(path_, error)) {
        const std::string name = entry.path().filename().string();
        if (name != kCheckpoints && name != kConfig && name != kLock) return;
    }
    fs::remove_all(path_, error);
}

std::vector<fs::path> RunFolder::set_aside_after(int64_t step) {
    std::vector<fs::path> renamed;
    for (const Checkpoint& checkpoint : list_checkpoints(path_)) {
        if (checkpoint.step <= step) continue;
        const std::string name = "set-aside-" + step_name(checkpoint.step);
        fs::path to = path_ / kCheckpoints / name;
        for (int copy = 2; fs::exists(to); ++copy) to.replace_filename(fmt::format("{}-{}", name, copy));
        fs::rename(checkpoint.path, to);
        renamed.push_back(to);
    }
    if (!renamed.empty()) sync_folder(path_ / kCheckpoints);
    return renamed;
}

void RunFolder::prune(int64_t keep_last, int64_t keep_every) {
    const auto all = list_checkpoints(path_);
    const auto whole = std::find_if(all.rbegin(), all.rend(),
                                    [](const Checkpoint& checkpoint) { return missing_part(checkpoint.path).empty(); });
    const int64_t newest_whole = whole == all.rend() ? -1 : whole->step;
    for (size_t i = 0; i < all.size(); ++i) {
        const bool among_last = static_cast<int64_t>(all.size() - i) <= keep_last;
        const bool for_good = keep_every > 0 && all[i].step % keep_every == 0;
        if (!among_last && !for_good && all[i].step != newest_whole) remove_checkpoint(all[i]);
    }
}

CheckpointWriter::CheckpointWriter(const RunFolder& run, int64_t step)
    : checkpoint_{step, run.path() / kCheckpoints / step_name(step)},
      temporary_(hidden_name(run.path() / kCheckpoints, step)) {
    std::error_code error;
    fs::remove_all(temporary_, error);
    fs::create_directory(temporary_, error);
    require(!error, "{}: cannot create: {}", temporary_.string(), error.message());
}

CheckpointWriter::~CheckpointWriter() {
    std::error_code ignored;  // the next start removes what stays
    if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

Checkpoint CheckpointWriter::commit() {
    require(!fs::exists(checkpoint_.path), "{}: exists already", checkpoint_.path.string());
    write_manifest(temporary_);
    for (const auto& entry : fs::directory_iterator(temporary_)) sync_file(entry.path());
    sync_folder(temporary_);
    const bool renamed = std::rename(temporary_.c_str(), checkpoint_.path.c_str()) == 0;
    require(renamed, "{}: cannot rename: {}", temporary_.string(), std::strerror(errno));
    temporary_.clear();
    sync_folder(checkpoint_.path.parent_path());
    return checkpoint_;
}

}  // namespace dropforge
