#include <doctest/doctest.h>

#include <cstdio>
#include <limits>

#include "model/run/metrics.h"

using namespace dropforge;

namespace {

std::string output_of(bool quiet, bool terminal, void (*use)(ProgressLine&)) {
    std::FILE* file = std::tmpfile();
    REQUIRE(file != nullptr);
    {
        ProgressLine line(file, quiet, terminal);
        use(line);
    }
    std::rewind(file);
    std::string text(1000, '\0');
    text.resize(std::fread(text.data(), 1, text.size(), file));
    std::fclose(file);
    return text;
}

}  // namespace

TEST_CASE("progress line: text") {
    StepProgress progress{.step = 1200, .steps = 20000, .loss = 5.314, .accuracy = 0.2149, .lr = 1e-4};
    progress.sequences_per_second = 312.2;
    progress.seconds_left = 754;
    CHECK(progress.text() == "step 1200/20000  loss 5.31  acc 0.21  lr 1.0e-04  312 seq/s  ETA 12:34");
    progress.unigram_entropy = 6.8;
    progress.mfu = 0.41;
    CHECK(progress.text() ==
          "step 1200/20000  loss 5.31 (unigram 6.80)  acc 0.21  lr 1.0e-04  312 seq/s  MFU 41 %  ETA 12:34");
    StepProgress nothing = progress;
    nothing.loss = std::numeric_limits<double>::quiet_NaN();
    CHECK(nothing.text() == "step 1200/20000  no token to predict  lr 1.0e-04  312 seq/s  MFU 41 %  ETA 12:34");
    progress.sequences_per_second = 0.128;
    CHECK(progress.text().find("  0.13 seq/s") != std::string::npos);
    const auto eta = [&](double seconds) {
        progress.seconds_left = seconds;
        return progress.text().substr(progress.text().find("ETA ") + 4);
    };
    CHECK(eta(0) == "0:00");
    CHECK(eta(59.6) == "1:00");
    CHECK(eta(3723) == "1:02:03");
    CHECK(eta(2 * 86400 + 3 * 3600 + 4 * 60) == "2d 03:04");
    CHECK(eta(std::numeric_limits<double>::infinity()) == "?");
    CHECK(eta(std::numeric_limits<double>::quiet_NaN()) == "?");
}

TEST_CASE("progress line: in place on a terminal, a line an interval elsewhere, silent when quiet") {
    const auto use = [](ProgressLine& line) {
        line.show({.step = 1, .steps = 3}, false);
        line.show({.step = 2, .steps = 3}, true);
        line.note("saved");
        line.show({.step = 3, .steps = 3}, false);
    };
    const std::string one = StepProgress{.step = 1, .steps = 3}.text(),
                      two = StepProgress{.step = 2, .steps = 3}.text(),
                      three = StepProgress{.step = 3, .steps = 3}.text();
    CHECK(output_of(false, false, use) == two + "\nsaved\n");
    CHECK(output_of(false, true, use) == "\r" + one + "\x1b[K\r" + two + "\x1b[K\nsaved\n\r" + three + "\x1b[K\n");
    CHECK(output_of(true, true, use).empty());
    CHECK(output_of(true, false, use).empty());
}

TEST_CASE("progress line: never wider than the terminal") {
    const auto use = [](ProgressLine& line) {
        line.show({.step = 123456789, .steps = 1234567890, .unigram_entropy = 6.8, .mfu = 0.5, .seconds_left = 1e9},
                  true);
    };
    const std::string text = output_of(false, true, use);  // a file says no width: 80 columns
    CHECK(text.size() == 1 + 79 + 3 + 1);
}
