// What is resolved before a fine-tuning run starts.
#include "finetune/plan.h"

#include <doctest/doctest.h>

#include "finetune/record.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

using namespace dropforge;

TEST_CASE("a run that goes on keeps the precision and the micro-batch it had, with several seeds those of the first") {
    const fs::path golden = fs::path(kTestData) / "finetune" / "single";
    for (const int64_t seeds : {1, 2}) {
        CAPTURE(seeds);
        const TemporaryFolder folder;
        FinetuneOptions options;
        options.model = golden;
        options.training = golden / "train.tsv";
        options.evaluated = golden / "eval.tsv";
        options.out = folder.path();
        options.task.name = "single";
        options.seeds = seeds;
        options.config.train.seed = 7;
        FinetuneConfig before = options.config;
        before.train.micro_batch = 5;
        before.train.precision = Precision::bf16;
        fs::create_directories(options.folder_of(7));
        write_text(options.folder_of(7) / "config.toml", finetuning_record(options, before, {"2", "9", "10"}).toml);
        options.device.bf16 = false;  // for which automatic is f32
        const FinetunePlan plan(options);
        CHECK(plan.config.train.micro_batch == 5);
        CHECK(plan.step.micro_batch == 5);
        CHECK(plan.precision.dtype == DType::bf16);
    }
}
