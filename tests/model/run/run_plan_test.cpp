// What a run's plan decides by its device.
#include "model/run/plan.h"

#include <doctest/doctest.h>

namespace dropforge {
namespace {

TEST_CASE(
    "GELU's outputs are kept where it is asked for, and by default on a GPU with a tenth of its memory to spare") {
    RunConfig config = RunConfig::load("bert-mini");
    Device device = cpu_device();
    const auto keeps = [&] { return RunPlan(config, device).programs->options.keep_gelu; };
    CHECK(!keeps());
    device.kind = "cuda";
    device.available = int64_t{80} << 30;
    CHECK(keeps());
    const int64_t bytes = RunPlan(config, device).memory_bytes();
    device.available = bytes + bytes / 5;
    CHECK(keeps());
    device.available = bytes;
    CHECK(!keeps());
    CHECK(RunPlan(config, device).memory_bytes() < bytes);
    config.set("train.gelu_output=keep");
    CHECK(keeps());
    device.available = int64_t{80} << 30;
    config.set("train.gelu_output=recompute");
    CHECK(!keeps());
    device = cpu_device();
    config.set("train.gelu_output=keep");
    CHECK(keeps());
}

}  // namespace
}  // namespace dropforge
