// The tests of kernels once more, with every access of the CUDA kernels seen by the race detector, which complains
// after each call (Setup::call in kernel_testing.h). A run of all tests must launch every kernel that there is.
// With --values nobody looks, and the tests are what they are elsewhere: for scripts/checks/simt_mutants.sh.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <set>
#include <string_view>

#include "kernels/cuda/emulator/checks/program_file.h"
#include "kernels/cuda/emulator/checks/race.h"

namespace {

class Watch final : public dropforge::simt::RaceDetector {
  public:
    void launch_begins(const dropforge::simt::LaunchShape& shape) override {
        launched_.insert(shape.kernel);
        RaceDetector::launch_begins(shape);
    }
    int kernels_left_out() const {
        int count = 0;
        for (const auto& [function, name] : dropforge::simt::kernels_of_program()) {
            if (launched_.contains(function)) continue;
            fmt::print("no test launches {}\n", name);
            ++count;
        }
        return count;
    }

  private:
    std::set<const void*> launched_;
};

}  // namespace

int main(int argc, char** argv) {
    doctest::Context context(argc, argv);
    context.addFilter("test-case-exclude", "*finite differences*");  // of the reference: no CUDA in them
    if (argc > 1 && std::string_view(argv[1]) == "--values") return context.run();
    Watch watch;
    const dropforge::simt::ScopedObserver scope(watch);
    int status = context.run();
    if (const std::string rest = watch.complaints(); !rest.empty()) {  // of calls that went another way
        fmt::print("{}", rest);
        status = 1;
    }
    if (argc > 1) return status;  // not all tests
    return watch.kernels_left_out() > 0 ? 1 : status;
}
