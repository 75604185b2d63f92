// All golden cases on the CUDA backend.
#include "kernels/cuda/backend.h"
#include "tests/parity_cases.h"

namespace dropforge {
namespace {

using namespace test;

TEST_CASE("golden cases in f32") { check_cases(kernels::cuda(), DType::f32); }
TEST_CASE("golden cases in bf16") { check_cases(kernels::cuda(), DType::bf16); }
TEST_CASE("golden cases in fp16") { check_cases(kernels::cuda(), DType::fp16); }

}  // namespace
}  // namespace dropforge
