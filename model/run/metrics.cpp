#include "model/run/metrics.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/rollback.h"

namespace dropforge {

namespace {

using Json = nlohmann::json;

[[noreturn]] void fail(const fs::path& path, const char* what) {
    throw Error("{}: {}: {}", path.string(), what, std::strerror(errno));
}

struct Lines {
    std::string kept, later;
};

/// The lines of `text` up to and with step `last`, and those of later steps. A last line that a kill in the middle of
/// its write cut short is neither.
Lines split(std::string_view text, int64_t last, const std::string& where) {
    Lines lines;
    for (int64_t line_number = 1; !text.empty(); ++line_number) {
        const size_t end = text.find('\n');
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        const Json json = Json::parse(line, nullptr, false);
        const bool valid = json.is_object() && json.contains("step") && json["step"].is_number_integer();
        if (!valid && text.empty()) break;
        require(valid, "{}:{}: expected a JSON object with a step, got {}", where, line_number, line.substr(0, 80));
        std::string& part = json["step"].get<int64_t>() <= last ? lines.kept : lines.later;
        part.append(line).append("\n");
    }
    return lines;
}

/// On the disk, but for the rename.
std::unique_ptr<AtomicFile> ready(const fs::path& path, std::string_view text) {
    auto file = std::make_unique<AtomicFile>(path);
    file->write(text);
    file->sync();
    return file;
}

std::string text_if_any(const fs::path& path) { return fs::exists(path) ? read_text(path) : std::string(); }

}  // namespace

MetricsLog::MetricsLog(const fs::path& run_folder, int64_t resumed_from, bool tensorboard)
    : path_(run_folder / "metrics.jsonl") {
    const std::string text = text_if_any(path_);
    const auto [kept, later] = split(text, resumed_from, path_.string());
    Rollback changes;
    if (tensorboard) {
        events_ = std::make_unique<EventFile>(run_folder, resumed_from);
        changes.add([this] { fs::remove(events_->path()); });
    }
    std::unique_ptr<AtomicFile> aside, cut;
    const fs::path set_aside = run_folder / "set-aside-metrics.jsonl";
    if (!later.empty()) aside = ready(set_aside, text_if_any(set_aside) + later);
    if (kept != text) cut = ready(path_, kept);
    if (aside) aside->commit();
    if (cut) cut->commit();
    descriptor_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (descriptor_ < 0) fail(path_, "cannot write");
    changes.commit();
}

MetricsLog::~MetricsLog() { close(descriptor_); }

void MetricsLog::write(const MetricsLine& line) {
    append(line.json + "\n");
    if (events_) events_->scalars(line.step, line.time, line.scalars);
}

void MetricsLog::append(const std::string& line) {
    for (size_t done = 0; done < line.size();) {
        const ssize_t written = ::write(descriptor_, line.data() + done, line.size() - done);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) fail(path_, "cannot write");
        done += static_cast<size_t>(written);
    }
}

void MetricsLog::sync() {
    if (fsync(descriptor_) != 0) fail(path_, "cannot sync");
}

}  // namespace dropforge
