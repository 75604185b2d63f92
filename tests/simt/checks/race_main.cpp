// The tests of kernels once more, with every access of the CUDA kernels seen by the race detector. Calls complain in
// Setup::call (kernel_testing.h); here is what they run under.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "tests/simt/checks/race.h"

int main(int argc, char** argv) {
    doctest::Context context(argc, argv);
    context.addFilter("test-case-exclude", "*finite differences*");  // of the reference: no CUDA in them
    dropforge::simt::RaceDetector detector;
    const dropforge::simt::ScopedObserver scope(detector);
    return context.run();
}
