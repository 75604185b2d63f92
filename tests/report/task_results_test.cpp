// The table of fine-tuned models in a report.

#include "report/task_results.h"

#include <doctest/doctest.h>

#include "base/error.h"
#include "report/page.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/well_formed.h"

using namespace dropforge;
using namespace dropforge::report;
using namespace dropforge::test;

namespace {

/// A result of two seeds with these main metrics.
void write_result(const fs::path& folder, const std::string& task, double first, double second) {
    const auto seed = [](int64_t number, double main) {
        return SeedResult{.seed = number, .epochs = {{.main = main, .metrics = {{"accuracy", main}, {"f1", {}}}}}};
    };
    fs::create_directories(folder);
    write_text(folder / "result.json",
               FinetuneResult{.task = task, .seeds = {seed(1, first), seed(2, second)}}.to_json());
}

}  // namespace

TEST_CASE("a row a model, a column a task: mean and deviation of the seeds, the average where no task is missing") {
    const TemporaryFolder folder;
    write_result(folder / "dense/mrpc", "mrpc", 0.8, 0.84);
    write_result(folder / "dense/rte", "rte", 0.5, 0.5);
    write_result(folder / "sctd", "mrpc", 0.9, 0.9);
    const auto models = read_task_results({"<dense>=" + (folder / "dense").string(), (folder / "sctd").string()});
    REQUIRE(models.size() == 2);
    CHECK(models[0].label == "<dense>");
    CHECK(models[1].label == (folder / "sctd").string());
    REQUIRE(models[0].tasks.size() == 2);
    CHECK(models[0].tasks[0].task == "mrpc");
    CHECK(models[0].tasks[0].metrics == "accuracy 0.8200");
    const std::string page_text = page({{}, models}, "now", 0);
    CHECK(not_well_formed(page_text) == "");
    for (const char* part : {"&lt;dense&gt;", ">82.00 ± 2.83<", ">50.00 ± 0.00<", ">66.00<", ">90.00 ± 0.00<",
                             "title=\"accuracy 0.8200; 2 seeds\"", "average"})
        CHECK_MESSAGE(page_text.find(part) != std::string::npos, part);
    CHECK(page_text.find("<script") == std::string::npos);
    CHECK(task_section({}) == "");
}

TEST_CASE("what is no result of fine-tuning is refused by name") {
    const TemporaryFolder folder;
    const auto refused = [](const fs::path& path, const std::string& part) {
        try {
            read_task_results({path.string()});
            FAIL("not refused");
        } catch (const Error& error) {
            CHECK_MESSAGE(std::string(error.what()).find(part) != std::string::npos, error.what());
        }
    };
    refused(folder / "none", "no such folder");
    fs::create_directories(folder / "empty");
    refused(folder / "empty", "no result.json");
    fs::create_directories(folder / "bad");
    write_text(folder / "bad/result.json", R"({"task": "mrpc", "seeds": []})");
    refused(folder / "bad", "no seed");
    write_text(folder / "bad/result.json", R"({"task": "mrpc")");
    refused(folder / "bad", "result.json");
}
