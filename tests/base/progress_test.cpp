// The progress line.
#include "base/progress.h"

#include <doctest/doctest.h>

#include "tests/support/temporary_folder.h"

using namespace dropforge;

namespace {

/// What a Progress writes to a file, which is no terminal.
template <typename Use>
std::string written(bool quiet, Use&& use) {
    const TemporaryFolder folder;
    std::FILE* file = std::fopen((folder / "out").c_str(), "w");
    REQUIRE(file != nullptr);
    {
        Progress progress("work", 200, ProgressUnit::count, quiet, file);
        use(progress);
    }
    std::fclose(file);
    return read_text(folder / "out");
}

}  // namespace

TEST_CASE("the line: share, amounts, rate, time left, note") {
    const Progress bytes("read", 4'000'000'000, ProgressUnit::bytes, true);
    CHECK(bytes.line(1'000'000'000, 10, "") ==
          "read [#####...............]  25 %  1.0 GB of 4.0 GB  100 MB/s  ETA 0:30");
    CHECK(bytes.line(0, 0, "x") == "read [....................]   0 %  0 B of 4.0 GB  0 B/s  0:00  x");
    CHECK(bytes.line(4'000'000'000, 40, "") == "read [####################] 100 %  4.0 GB of 4.0 GB  100 MB/s  0:40");
    const Progress steps("train", 1000, ProgressUnit::count, true);
    CHECK(steps.line(999, 100, "loss 5.31") ==
          "train [###################.]  99 %  999 of 1000  9.99/s  ETA 0:00  loss 5.31");
    const Progress unknown("scan", 0, ProgressUnit::count, true);
    CHECK(unknown.line(50, 5, "") == "scan  50  10/s  0:05");
    CHECK(clock_text(3723) == "1:02:03");
    CHECK(clock_text(59.6) == "1:00");
}

TEST_CASE("where there is no terminal: no control characters, few lines; quiet: nothing") {
    const auto use = [](Progress& progress) {
        for (uint64_t i = 0; i < 200; ++i) progress.update(i, "note");
        progress.finish("done");
    };
    const std::string plain = written(false, use);
    CHECK(plain.starts_with("work [####################] 100 %  200 of 200"));
    CHECK(plain.ends_with("  done\n"));
    CHECK(plain.find('\n') + 1 == plain.size());
    CHECK(plain.find('\r') == std::string::npos);
    CHECK(written(true, use) == "");
}
