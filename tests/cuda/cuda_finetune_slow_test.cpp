// Golden runs of fine-tuning on the CUDA backend: a head of [CLS], and one of every position.
#include "finetune/finetuning.h"
#include "kernels/cuda/backend.h"
#if DROPFORGE_CUDA_EMULATED
#include "kernels/cuda/emulator/simt.h"
#endif
#include "tests/support/golden_run.h"

namespace dropforge {
namespace {

using namespace test;

void check_golden(const char* name, DType dtype) {
    CAPTURE(std::string(name));
    CAPTURE(std::string(name_of(dtype)));
    const TemporaryFolder folder;
    const GoldenRun golden(name, "main");
    FinetuneOptions options;
    options.model = golden.folder();
    options.training = golden.train();
    options.evaluated = golden.evaluated();
    options.out = folder / "out";
    options.task.name = golden.task();
    options.quiet = true;
    std::vector<Setting> settings = {{"train.precision", name_of(dtype), "--precision"}};
    for (const std::string& setting : golden.settings()) settings.push_back(Setting::parse(setting));
    options.config.set(settings);
    options.device.kernels = &kernels::cuda();
    options.device.kind = "cuda";
    options.device.bf16 = true;
    options.device.compute_capability = 80;
    finetune(options);
    golden.check(options.out, dtype);
}

TEST_CASE("golden runs in f32") {
    check_golden("single", DType::f32);
    check_golden("squad2", DType::f32);
}

TEST_CASE("golden runs in bf16") {
    check_golden("single", DType::bf16);
    check_golden("squad2", DType::bf16);
}

TEST_CASE("golden runs in fp16 are within the limits of bf16") { check_golden("single", DType::fp16); }

#if DROPFORGE_CUDA_EMULATED
TEST_CASE("threads in other orders: golden runs in f32") {
    for (const simt::Order order : {simt::Order::reverse, simt::Order::random}) {
        const simt::ScopedOrder scope(order);
        check_golden("single", DType::f32);
    }
}
#endif

}  // namespace
}  // namespace dropforge
