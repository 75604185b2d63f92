#include "engine/trace.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/support/temporary_folder.h"

using namespace dropforge;

namespace {

class NoContext : public kernels::Context {};

}  // namespace

TEST_CASE("a trace is JSON with one named track a program and one event an op and run") {
    Program first("dense \"step\""), second("evaluate");
    first.add("layer0/fc1", {.reads = {}, .writes = {}, .inplace = {}, .flops = 2e6}, [](const Run&) {});
    first.add("layer0/fc2", {}, [](const Run&) {});
    second.add("loss", {}, [](const Run&) {});
    const MemoryPlan none1 = plan_memory(first), none2 = plan_memory(second);
    kernels::KernelTable table{};
    NoContext context;
    Executor a(first, none1, nullptr, table, context), b(second, none2, nullptr, table, context);
    a.clock(true, true);
    b.clock(true, true);
    a.run();
    b.run();
    a.run();

    const TemporaryFolder folder;
    const Executor* executors[] = {&a, &b};
    write_trace(folder / "trace.json", executors);
    const auto trace = nlohmann::json::parse(read_text(folder / "trace.json"));
    const auto& events = trace.at("traceEvents");
    REQUIRE(events.size() == 2 + 5);
    std::vector<std::string> tracks, ops;
    double end = 0;
    std::map<int, double> ends;
    for (const auto& event : events) {
        if (event.at("ph") == "M") {
            tracks.push_back(event.at("args").at("name"));
            continue;
        }
        CHECK(event.at("ph") == "X");
        ops.push_back(event.at("name"));
        const int track = event.at("tid");
        CHECK(event.at("ts").get<double>() >= ends[track] - 0.002);  // printed to 1 ns: two roundings
        CHECK(event.at("dur").get<double>() >= 0);
        ends[track] = event.at("ts").get<double>() + event.at("dur").get<double>();
        end = std::max(end, ends[track]);
    }
    CHECK(tracks == std::vector<std::string>{"dense \"step\"", "evaluate"});
    CHECK(ops == std::vector<std::string>{"layer0/fc1", "layer0/fc2", "layer0/fc1", "layer0/fc2", "loss"});
    CHECK(events[1].at("args").at("gflops").get<double>() > 0);
    CHECK(events[2].at("args").at("gflops").get<double>() == 0);
    // One clock: the run of b lies between the two of a.
    CHECK(events[6].at("ts").get<double>() >= events[2].at("ts").get<double>());
    CHECK(events[6].at("ts").get<double>() <= events[3].at("ts").get<double>());
}

TEST_CASE("no executors, no events: still a trace") {
    const TemporaryFolder folder;
    write_trace(folder / "trace.json", {});
    CHECK(nlohmann::json::parse(read_text(folder / "trace.json")).at("traceEvents").empty());
}
