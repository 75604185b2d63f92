// The micro-batch that a run takes where it is not given, on machines of any memory.
#include "model/run/memory_fit.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "base/error.h"
#include "model/methods/sctd.h"

using namespace dropforge;

namespace {

Device device_with(int64_t bytes, const char* kind = "cpu") {
    return {
        .kind = kind, .model = "any", .text = "a test's", .bf16 = true, .compute_capability = 80, .available = bytes};
}

RunConfig config_of(const std::string& preset, int64_t batch, std::initializer_list<std::string> settings = {}) {
    RunConfig config = RunConfig::load(preset);
    config.set(fmt::format("train.batch={}", batch));
    config.set("train.precision=f32");
    for (const std::string& s : settings) config.set(s);
    return config;
}

std::string refusal(const RunPlan& plan) {
    try {
        plan.require_fit();
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("divisors, the largest first") {
    CHECK(divisors(1) == std::vector<int64_t>{1});
    CHECK(divisors(12) == std::vector<int64_t>{12, 6, 4, 3, 2, 1});
    CHECK(divisors(49) == std::vector<int64_t>{49, 7, 1});
    CHECK(divisors(2147483647) == std::vector<int64_t>{2147483647, 1});
}

TEST_CASE("automatic: the largest micro-batch that fits, and the next larger does not") {
    for (const char* method : {"dense", "token_dropping", "sctd"})
        for (const int64_t batch : {96, 97}) {
            const RunConfig config = config_of("bert-mini", batch, {fmt::format("train.method={}", method)});
            for (const int64_t megabytes : {400, 1000, 2000, 4000, 40000}) {
                CAPTURE(method);
                CAPTURE(batch);
                CAPTURE(megabytes);
                const Device device = device_with(megabytes * 1'000'000);
                const RunPlan plan(config, device);
                CHECK(plan.automatic_micro_batch);
                CHECK_NOTHROW(plan.require_fit());
                const int64_t chosen = plan.config.train.micro_batch;
                const std::vector<int64_t> possible = divisors(batch);
                const auto at = std::ranges::find(possible, chosen);
                REQUIRE(at != possible.end());
                if (at == possible.begin()) continue;
                RunConfig larger = config;
                larger.train.micro_batch = *(at - 1);
                const RunPlan refused(larger, device);
                CHECK(contains(refusal(refused), fmt::format("train.micro_batch = {} fits, which 0 finds", chosen)));
            }
        }
}

TEST_CASE("a smaller memory never gives a larger micro-batch; enough of it gives the whole batch") {
    int64_t before = 0;
    for (const int64_t megabytes : {300, 500, 900, 1700, 3300, 100000}) {
        const RunPlan plan(config_of("bert-mini", 256), device_with(megabytes * 1'000'000));
        CHECK(plan.config.train.micro_batch >= before);
        before = plan.config.train.micro_batch;
    }
    CHECK(before == 256);
}

TEST_CASE("a micro-batch that is given is kept, whether it fits or not") {
    const RunPlan plan(config_of("bert-mini", 64, {"train.micro_batch=16"}), device_with(100'000'000'000));
    CHECK(plan.config.train.micro_batch == 16);
    CHECK_FALSE(plan.automatic_micro_batch);
}

TEST_CASE("where not even one sequence fits, the refusal names what would") {
    const RunPlan plan(config_of("bert-large", 32, {"data.sequence=512"}), device_with(2'000'000'000));
    CHECK(plan.config.train.micro_batch == 1);
    CHECK(contains(refusal(plan), "with 1 of its 32 sequences at a time"));
    CHECK(contains(refusal(plan), "model.preset=bert-base would fit"));
    const RunPlan batches(config_of("bert-tiny", 1 << 24), device_with(2'000'000'000));
    CHECK(contains(refusal(batches), "train.batch="));
    CHECK(contains(refusal(RunPlan(config_of("bert-tiny", 2), device_with(1'000'000))), "not even the smallest model"));
    RunConfig kept = config_of("bert-mini", 64), record = kept;
    record.set("train.micro_batch=64");
    kept.go_on_from(record, "runs/1");
    CHECK(contains(refusal(RunPlan(kept, device_with(200'000'000))),
                   "goes on with the train.micro_batch that it began with (64)"));
}

TEST_CASE("the table: every length and precision, and what the plans themselves say") {
    const int64_t memory = 8'000'000'000;
    const RunConfig config = config_of("bert-base", 256, {"train.method=sctd"});
    const std::vector<MemoryRow> rows = memory_table(config, memory);
    CHECK(rows.size() == 3 * 3 * 2 * 2);
    for (const MemoryRow& r : rows) {
        CAPTURE(r.sequence);
        REQUIRE(r.micro_batch > 0);
        CHECK(r.memory_bytes <= memory);
        RunConfig same = config;
        same.data.sequence = r.sequence;
        same.train.precision = r.precision;
        same.train.gelu_output = r.keep_gelu ? GeluOutput::keep : GeluOutput::recompute;
        if (!r.switches.empty()) same.method_options.of<SctdOptions>().recompute = r.switches[0];
        same.train.micro_batch = r.micro_batch;
        CHECK(RunPlan(same, device_with(memory, "cuda")).memory_bytes() == r.memory_bytes);
    }
    const auto none = memory_table(config, 1'000'000'000);
    CHECK(std::ranges::all_of(none, [](const MemoryRow& r) { return r.micro_batch == 0 && r.memory_bytes > 0; }));
    CHECK(contains(memory_text(config, none, 1'000'000'000), "none fits"));
}
