#include "kernels/cuda/emulator/mock_streams.h"

#include <algorithm>
#include <utility>

#include "kernels/cuda/emulator/mock_runtime.h"

namespace dropforge::simt {

namespace {

/// Whether work of this stream runs only when it is waited for. A context creates two streams, that of kernels first.
bool late(const Stream& stream) {
    const bool kernels = stream.number % 2 == 0;
    return machine().pace == (kernels ? Pace::late_kernels : Pace::late_copies);
}

bool blocked(const Task& task) { return task.waits_for != nullptr && task.waits_for->done < task.version; }

}  // namespace

Stream* Streams::create() {
    streams_.push_back(std::make_unique<Stream>());
    streams_.back()->number = created_++;
    return streams_.back().get();
}

void Streams::destroy(Stream* stream) {
    finish(*stream);
    std::erase_if(streams_, [&](const auto& s) { return s.get() == stream; });
}

void Streams::add(Stream& stream, Task task) {
    if (stream.capture) {
        stream.capture->push_back(std::move(task.work));
        return;
    }
    stream.queue.push_back(std::move(task));
    run_early_ones();
}

void Streams::record(Event& event, Stream& stream) {
    event.stream = &stream;
    const int64_t version = ++event.recorded;
    add(stream, {[&event, version] {
            event.done = version;
            event.time = machine().clock;
        }});
}

void Streams::complete(const Event& event, int64_t version) {
    while (event.done < version) run_front(*event.stream);
}

void Streams::finish(Stream& stream) {
    if (machine().lost != cudaSuccess) stream.queue.clear();
    while (!stream.queue.empty()) run_front(stream);
}

void Streams::finish_all() {
    for (const auto& stream : streams_) finish(*stream);
}

Stream* Streams::capturing() const {
    const auto found = std::ranges::find_if(streams_, [](const auto& s) { return s->capture != nullptr; });
    return found == streams_.end() ? nullptr : found->get();
}

void Streams::run_front(Stream& stream) {
    if (blocked(stream.queue.front())) {
        const Task& waiting = stream.queue.front();
        complete(*waiting.waits_for, waiting.version);
    }
    const Task task = std::move(stream.queue.front());  // removed from the queue even if it throws
    stream.queue.pop_front();
    if (task.work) task.work();
}

void Streams::run_early_ones() {
    for (bool progress = true; progress;) {
        progress = false;
        for (const auto& stream : streams_) {
            while (!late(*stream) && !stream->queue.empty() && !blocked(stream->queue.front())) {
                run_front(*stream);
                progress = true;
            }
        }
    }
}

Streams& streams() {
    static Streams all;
    return all;
}

}  // namespace dropforge::simt
