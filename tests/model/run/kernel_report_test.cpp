#include "model/run/kernel_report.h"

#include <doctest/doctest.h>

#include "base/error.h"

namespace dropforge {
namespace {

RunPlan plan(const std::string& kind, Precision precision) {
    RunConfig config = RunConfig::load("bert-tiny");
    config.train.precision = precision;
    Device device = cpu_device();
    device.kind = kind;
    device.text = "the device";
    device.bf16 = kind == "cuda";
    return RunPlan(config, device);
}

TEST_CASE("what a run insists on is checked against its device and precision") {
    const RunPlan gpu = plan("cuda", Precision::bf16), cpu = plan("cpu", Precision::f32);
    CHECK_NOTHROW(check_requirements({"cuda", "cublaslt", "cudnn", "bf16"}, gpu));
    CHECK_NOTHROW(check_requirements({}, cpu));
    CHECK_THROWS_WITH_AS(check_requirements({"cuda"}, cpu), "--require cuda: the run is on the cpu: the device", Error);
    CHECK_THROWS_WITH_AS(check_requirements({"cudnn"}, cpu), doctest::Contains("on the cpu"), Error);
    CHECK_THROWS_WITH_AS(check_requirements({"bf16"}, plan("cuda", Precision::f32)),
                         "--require bf16: f32, as asked for", Error);
    CHECK_THROWS_WITH_AS(check_requirements({"cudn"}, gpu), "--require cudn: it must be of cuda, bf16, cublaslt, cudnn",
                         Error);
}

TEST_CASE("a substitute for a required library's kernel is an error that names it and the reason") {
    const std::vector<kernels::KernelChoice> choices = {
        {"gemm b", "cuBLASLt 13.1", "algorithm 66", "timed"},
        {"gelu of gemm c", "own kernel", "GELU kernel after the GEMM", "faster"},
        {"gemm a", "cuBLASLt 13.1", "algorithm 21", "timed"},
        {"attention_forward", "own kernel", "tensor cores", "cuDNN 9.20 is known bad"}};
    CHECK_NOTHROW(check_requirements({"cublaslt", "bf16"}, choices));
    CHECK_THROWS_WITH_AS(check_requirements({"cublaslt", "cudnn"}, choices),
                         "--require cudnn: attention_forward is served by own kernel: cuDNN 9.20 is known bad", Error);
    CHECK(kernel_table(choices) ==
          "operation\tlibrary\tkernel\treason\n"
          "attention_forward\town kernel\ttensor cores\tcuDNN 9.20 is known bad\n"
          "gelu of gemm c\town kernel\tGELU kernel after the GEMM\tfaster\n"
          "gemm a\tcuBLASLt 13.1\talgorithm 21\ttimed\n"
          "gemm b\tcuBLASLt 13.1\talgorithm 66\ttimed\n");
}

}  // namespace
}  // namespace dropforge
