#include "engine/trace.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"

namespace dropforge {

void write_trace(const fs::path& path, std::span<const Executor* const> executors) {
    int64_t zero = std::numeric_limits<int64_t>::max();
    for (const Executor* executor : executors) zero = std::min(zero, executor->epoch_ns());

    AtomicFile file(path);
    file.write("{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n");
    for (size_t track = 0; track < executors.size(); ++track) {
        const Program& program = executors[track]->program();
        file.write(fmt::format(
            "{}{{\"ph\": \"M\", \"pid\": 1, \"tid\": {}, \"name\": \"thread_name\", \"args\": {{\"name\": {}}}}}",
            track == 0 ? "" : ",\n", track + 1, json_text(program.name())));
        const double shift = static_cast<double>(executors[track]->epoch_ns() - zero) * 1e-9;
        for (const OpEvent& event : executors[track]->events()) {
            const Op& op = program.ops()[static_cast<size_t>(event.op)];
            file.write(fmt::format(
                ",\n{{\"ph\": \"X\", \"pid\": 1, \"tid\": {}, \"name\": {}, \"ts\": {:.3f}, \"dur\": {:.3f}, "
                "\"args\": {{\"gflops\": {:.3f}, \"gbytes_per_second\": {:.3f}}}}}",
                track + 1, json_text(op.name), (shift + event.start) * 1e6, event.seconds * 1e6,
                op.flops / std::max(event.seconds, 1e-9) * 1e-9, op.bytes / std::max(event.seconds, 1e-9) * 1e-9));
        }
    }
    file.write("\n]}\n");
    file.commit();
}

}  // namespace dropforge
