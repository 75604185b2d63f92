// All golden cases on the CUDA backend. Leaves parity_errors.tsv in the build folder: each tensor's error beside the
// allowed one.
#include <fstream>

#include "kernels/cuda/backend.h"
#include "tests/parity_cases.h"

namespace dropforge {
namespace {

using namespace test;

void check_all(DType dtype) {
    static std::ofstream report = [] {
        std::ofstream made(fs::path(DROPFORGE_BIN).parent_path() / "parity_errors.tsv");
        made << "run\ttensor\trelative error\tallowed\n";
        return made;
    }();
    check_cases(kernels::cuda(), dtype, {}, &report);
}

TEST_CASE("golden cases in f32") { check_all(DType::f32); }
TEST_CASE("golden cases in bf16") { check_all(DType::bf16); }
TEST_CASE("golden cases in fp16") { check_all(DType::fp16); }

}  // namespace
}  // namespace dropforge
