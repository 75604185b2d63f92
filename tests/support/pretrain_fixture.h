// What the tests of `dropforge pretrain` share: data, and a place for its runs.
#pragma once

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/cli_fixture.h"

namespace dropforge::test {

/// Data prepared once for all cases, and a place for runs.
struct Place {
    TemporaryFolder folder;
    fs::path data = prepare_data(folder.path()), out = folder / "run";

    Arguments command(int64_t steps, const Arguments& more = {}) const {
        return pretrain_arguments(data, out, steps) + more;
    }
    fs::path checkpoint(int64_t step) const { return out / "checkpoints" / fmt::format("step-{:08}", step); }
};

/// The lines of metrics.jsonl without what the clock decides.
inline std::vector<nlohmann::ordered_json> metrics_lines(const fs::path& run) {
    const std::string text = read_text(run / "metrics.jsonl");
    std::vector<nlohmann::ordered_json> lines;
    for (size_t begin = 0, end; begin < text.size(); begin = end + 1) {
        end = text.find('\n', begin);
        auto json = nlohmann::ordered_json::parse(text.substr(begin, end - begin));
        for (const char* clock :
             {"time", "sequences_per_second", "tokens_per_second", "mfu", "seconds_waiting_for_data", "eval_seconds"})
            json.erase(clock);
        lines.push_back(std::move(json));
    }
    return lines;
}

/// The same as text.
inline std::string metrics_of(const fs::path& run) {
    std::string text;
    for (const auto& line : metrics_lines(run)) text += line.dump() + '\n';
    return text;
}

}  // namespace dropforge::test
