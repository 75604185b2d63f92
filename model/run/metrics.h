// What a run reports: metrics.jsonl, TensorBoard event files, and the progress line.
#pragma once

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"

namespace dropforge {

/// Writes TensorBoard's event files (scalar summaries): TFRecord frames of hand-encoded protobuf, formats in
/// event_file.cpp.
class EventFile {
  public:
    using Scalar = std::pair<std::string, double>;

    /// A new file events.out.tfevents.TIME.HOST.PID in `folder`. When a run goes on after step `resumed_from` > 0, the
    /// file says so, and TensorBoard forgets what older files say of later steps.
    EventFile(const fs::path& folder, int64_t resumed_from);

    /// Appends one event at once, so that TensorBoard sees a run live. Throws Error.
    void scalars(int64_t step, double seconds_since_1970, const std::vector<Scalar>& values);
    const fs::path& path() const { return path_; }

  private:
    void append(const std::string& event);

    fs::path path_;
    struct Close {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };
    std::unique_ptr<std::FILE, Close> file_;
};

/// CRC-32C (Castagnoli), the checksum of TFRecord frames.
uint32_t crc32c(std::string_view bytes);

/// A line of metrics.jsonl, and the numbers of it that TensorBoard shows.
struct MetricsLine {
    int64_t step = 0;
    double time = 0;   // seconds since 1970
    std::string json;  // an object with that step; numbers read back exactly, those that are not finite are null
    std::vector<EventFile::Scalar> scalars = {};
};

/// metrics.jsonl of a run folder, one JSON object a line, and an EventFile beside it.
class MetricsLog {
  public:
    /// Goes on after step `resumed_from` (0: from the start): lines of later steps go to the end of
    /// set-aside-metrics.jsonl, a torn last line is removed. Throws Error naming file and line for a line before the
    /// last that is not an object with a step. If it throws, all is as it was.
    MetricsLog(const fs::path& run_folder, int64_t resumed_from, bool tensorboard);
    ~MetricsLog();
    MetricsLog(const MetricsLog&) = delete;
    MetricsLog& operator=(const MetricsLog&) = delete;

    /// One write() each: a killed process leaves at most one torn line. Throws Error.
    void write(const MetricsLine& line);
    /// Makes the lines durable; call before a checkpoint is committed, so that none before it is lost with the
    /// machine's power.
    void sync();

  private:
    void append(const std::string& line);

    fs::path path_;
    int descriptor_ = -1;
    std::unique_ptr<EventFile> events_;
};

/// What the progress line shows of a step.
struct StepProgress {
    int64_t step = 0, steps = 0;
    double loss = 0;                             // NaN: no token was masked
    std::optional<double> unigram_entropy = {};  // nats: the loss of a model that knows word frequencies only
    std::optional<double> accuracy = {}, nsp_accuracy = {};  // nsp_accuracy: of sentence pairs
    double lr = 0, sequences_per_second = 0;
    std::optional<double> mfu = {};
    double seconds_left = 0;

    /// "step 1200/20000  loss 5.31 (unigram 6.80)  acc 0.21  lr 1.0e-04  312 seq/s  MFU 41 %  ETA 12:34"
    std::string text() const;
};

/// The progress line on a terminal, re-written in place, or on a file, one line a log interval.
class ProgressLine {
  public:
    ProgressLine(std::FILE* out, bool quiet);
    ProgressLine(std::FILE* out, bool quiet, bool terminal);
    ~ProgressLine() { finish(); }
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;

    /// On a terminal each call is shown, elsewhere only those at a log interval.
    void show(const StepProgress& progress, bool log_interval);
    /// A line of its own, e.g. an evaluation or a saved checkpoint; it begins below the progress line of a terminal.
    void note(const std::string& text);
    /// Ends the line on a terminal.
    void finish();

  private:
    void put(const std::string& text);

    std::FILE* out_;
    bool quiet_, terminal_, open_ = false;
};

}  // namespace dropforge
