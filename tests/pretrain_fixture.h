// What the tests of `dropforge pretrain` share: data, and a place for its runs.
#pragma once

#include <doctest/doctest.h>

#include "cli_fixture.h"

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

inline CommandResult succeed(const Arguments& arguments) {
    CommandResult result = run_command(arguments);
    REQUIRE_MESSAGE(result.exit_code == 0, result.error);
    return result;
}

}  // namespace dropforge::test
