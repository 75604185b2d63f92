// Golden cases on the CPU, and on the CUDA backend as many as are quick there; what input is refused.
// label: levels
#include "tests/support/parity_cases.h"

#if DROPFORGE_CUDA_TESTED
#include "kernels/cuda/backend.h"
#endif

namespace dropforge {
namespace {

using namespace test;

TEST_CASE("golden cases in f32") { check_cases(kernels::cpu(), DType::f32); }
TEST_CASE("golden cases in bf16") { check_cases(kernels::cpu(), DType::bf16); }
#if DROPFORGE_CUDA_TESTED
TEST_CASE("golden cases on the CUDA backend: every method, both optimizers") {
    check_cases(kernels::cuda(), DType::f32, {"b/sctd"});
    check_cases(kernels::cuda(), DType::bf16, {"a/dense_adamw", "b/token_dropping"});
    check_cases(kernels::cuda(), DType::fp16, {"a/dense_lamb", "b/sctd"});
}
#endif

TEST_CASE("a batch that does not fit the model is refused by name") {
    const TemporaryFolder scratch;
    const BertConfig config = BertConfig::from_json(read_text(kCases / "a" / "config.json"), "config.json");
    const auto refused = [&](const std::vector<int32_t>& ids, std::vector<int64_t> shape, const char* what) {
        SafetensorsWriter writer;
        writer.add("input_ids", std::span<const int32_t>(ids), std::move(shape));
        writer.write(scratch.path() / "batch.safetensors");
        CHECK_THROWS_WITH_AS(read_batch(scratch.path() / "batch.safetensors", config, false), doctest::Contains(what),
                             Error);
    };
    refused({1, 2, 1003, 4}, {2, 2}, "input_ids[2] is 1003, must be 0 … 1002");
    refused({1, 2, -1, 4}, {2, 2}, "input_ids[2] is -1");
    refused({1, 2, 3, 4}, {4}, "two dimensions");
    SafetensorsWriter writer;
    const std::vector<int32_t> ids{1, 2, 3, 4}, lengths{2, 3};
    writer.add("input_ids", std::span<const int32_t>(ids), {2, 2});
    writer.add("lengths", std::span<const int32_t>(lengths), {2});
    writer.write(scratch.path() / "batch.safetensors");
    CHECK_THROWS_WITH_AS(read_batch(scratch.path() / "batch.safetensors", config, false),
                         doctest::Contains("lengths[1] is 3, must be 1 … 2"), Error);
    CHECK_THROWS_WITH_AS(read_batch(kCases / "a" / "model.safetensors", config, true), doctest::Contains("input_ids"),
                         Error);
}

TEST_CASE("an importance table that is missing, of another length, or not finite, is refused by name") {
    const TemporaryFolder scratch;
    const fs::path path = scratch.path() / "batch.safetensors";
    const auto refused = [&](const std::vector<float>& given, const char* name, const char* what) {
        SafetensorsWriter writer;
        writer.add(name, std::span<const float>(given), {std::ssize(given)});
        writer.write(path);
        std::vector<float> table(4);
        CHECK_THROWS_WITH_AS(read_method_state(SafetensorsFile(path), "importance", table), doctest::Contains(what),
                             Error);
    };
    const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
    refused({1, 2, 3, 4}, "unimportance", "batch.safetensors: no importance");
    refused({1, 2, 3}, "importance", "importance");
    refused({1, 2, 3, 4, 5}, "importance", "importance");
    refused({1, 2, nan, 4}, "importance", "importance[2] is nan, must be a finite number");
    refused({1, 2, 3, -infinity}, "importance", "importance[3] is -inf");
}

TEST_CASE("options of token dropping and ScTD that are impossible are refused by name") {
    const TemporaryFolder scratch;
    ParityOptions options;
    options.model = kCases / "a";
    options.batch = kCases / "a" / "batch.safetensors";
    options.out = scratch.path() / "result.safetensors";
    options.method = "token_dropping";
    for (const double keep : {0.0, 33.0}) {
        options.method_options.of<DroppingOptions>().keep = {keep, false};
        CHECK_THROWS_WITH_AS(parity(options), doctest::Contains("it must be 1 … 32, the length of the sequences"),
                             Error);
    }
    CHECK(!fs::exists(options.out));
}

}  // namespace
}  // namespace dropforge
