// All golden cases on the CUDA backend. Writes parity_errors.tsv to the build folder: each tensor's error and the
// allowed one.
#include "kernels/cuda/backend.h"
#include "tests/support/error_table.h"
#include "tests/support/parity_cases.h"

namespace dropforge {
namespace {

using namespace test;

std::ofstream errors = error_table("parity_errors.tsv", "run\ttensor\trelative error\tallowed");

void check_all(DType dtype) { check_cases(kernels::cuda(), dtype, {}, &errors); }

TEST_CASE("golden cases in f32") { check_all(DType::f32); }
TEST_CASE("golden cases in bf16") { check_all(DType::bf16); }
TEST_CASE("golden cases in fp16") { check_all(DType::fp16); }

}  // namespace
}  // namespace dropforge
