// Streams, events and graphs of the mock runtime.
#pragma once

#include <cuda_runtime_api.h>

#include <deque>
#include <functional>
#include <memory>
#include <vector>

namespace dropforge::simt {

using Work = std::function<void()>;
using Works = std::vector<Work>;

struct Event;

struct Task {
    Work work;
    Event* waits_for = nullptr;
    int64_t version = 0;  // of the event that is recorded or waited for
};

struct Stream {
    int number = 0;  // in the order of creation
    std::deque<Task> queue;
    std::shared_ptr<Works> capture;  // while it captures
    bool capture_failed = false;
};

/// Each recording of an event is a version of it.
struct Event {
    int64_t recorded = 0, done = 0;
    Stream* stream = nullptr;
    double time = 0;
};

/// The streams of the process.
class Streams {
  public:
    Stream* create();
    void destroy(Stream* stream);
    void add(Stream& stream, Task task);
    void record(Event& event, Stream& stream);
    /// Runs only the work that must precede `version` of the event, or all work of a stream.
    void complete(const Event& event, int64_t version);
    void finish(Stream& stream);
    void finish_all();
    Stream* capturing() const;

  private:
    void run_front(Stream& stream);
    void run_early_ones();

    std::vector<std::unique_ptr<Stream>> streams_;
    int created_ = 0;
};
Streams& streams();

}  // namespace dropforge::simt
