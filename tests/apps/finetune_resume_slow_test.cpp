// Fine-tuning that is killed again and again is fine-tuning that never was: every file, bit for bit.
#include "tests/support/killed_run.h"

using namespace dropforge::test;

TEST_CASE("SIGKILL at 20 random moments: f32") {
    check_killed({.seed = 2, .kills = 20, .epochs = 40, .more = {"--precision", "f32"}});
}

TEST_CASE("SIGKILL at 20 random moments: bf16") {
    check_killed({.seed = 3, .kills = 20, .epochs = 40, .more = {"--precision", "bf16"}});
}

TEST_CASE("SIGKILL within the runs of two seeds, and between them") {
    check_killed({.seed = 4, .kills = 10, .epochs = 10, .more = {"--seeds", "2"}});
}
