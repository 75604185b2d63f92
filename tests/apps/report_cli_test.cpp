// dropforge report: a page of two real runs, and what it refuses.
#include <doctest/doctest.h>
#include <signal.h>

#include <chrono>
#include <thread>

#include "tests/support/pretrain_fixture.h"
#include "tests/support/well_formed.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

/// A dense run and one with token dropping, evaluated twice, the dense one with a trace.
struct Runs : Place {
    fs::path dense = folder / "dense", dropping = folder / "<drop> & \"co\"";

    Runs() {
        const Arguments evaluated = {"--quiet",     "--set", "model.layers=4", "--set",
                                     "log.every=2", "--set", "eval.every=3"};
        succeed(pretrain_arguments(data, dense, 6) + evaluated + Arguments{"--trace", "1"});
        succeed(pretrain_arguments(data, dropping, 6) + evaluated + Arguments{"--method", "token_dropping"});
    }
};

int count(const std::string& text, const std::string& part) {
    int found = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++found;
    return found;
}

}  // namespace

TEST_CASE("a page of two runs has all that their folders tell, and needs nothing else") {
    const Runs runs;
    const fs::path out = runs.folder / "report.html";
    const CommandResult result =
        run_command({"report", runs.dense.string(), runs.dropping.string(), "--out", out.string()});
    CHECK(result.error == "");
    REQUIRE(result.exit_code == 0);
    CHECK(result.out == out.string() + "\n");
    const std::string page = read_text(out);
    CHECK(not_well_formed(page) == "");
    CHECK(page.size() < 400'000);
    CHECK(count(page, "http") == count(page, "xmlns=\"http://www.w3.org/2000/svg\""));
    for (const char* absent : {"<script", "src=", "@import", "url(", "http-equiv", "<drop>", "nan"})
        CHECK_MESSAGE(count(page, absent) == 0, absent);
    for (const char* heading : {"Validation loss", "Training loss", "Time to loss", "Speed and optimizer", "Time by op",
                                "Memory plan", "Kept and dropped tokens", "Differences of configuration", "Commands"})
        CHECK_MESSAGE(count(page, std::string("<h2>") + heading + "</h2>") == 1, heading);
    CHECK(count(page, "&lt;drop&gt; &amp; &quot;co&quot;") > 10);
    CHECK(count(page, "<svg class=\"plot\"") == 4 + 4 + 4);
    CHECK(count(page, "executed FLOPs against") == 0);
    CHECK(count(page, " against executed FLOPs\"") == 2);
    CHECK(count(page, "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plan\"") == 2);
    CHECK(count(page, "16 of 32 tokens stay") == 1);
    CHECK(count(page, " dropped\" title=\"") > 0);
    CHECK(count(page, "fc1.weight_gradient") > 0);
    CHECK(count(page, "dropforge pretrain bert-tiny --data ") == 2);
    CHECK(count(page, "<th class=\"n\">train.method</th>") + count(page, "<th>train.method</th>") == 1);
    CHECK(count(page, "6 / 6") == 2);
}

TEST_CASE("a run with log.report writes its page with every checkpoint, and goes on where it cannot") {
    const Place place;
    const Arguments keys = {"--set", "log.every=1", "--set", "log.report=true", "--set", "checkpoint.every=2"};
    succeed(place.command(3, {"--quiet"}) + keys);
    CHECK(not_well_formed(read_text(place.out / "report.html")) == "");
    CHECK(count(read_text(place.out / "report.html"), "3 / 3") == 1);
    fs::remove(place.out / "report.html");
    fs::create_directory(place.out / "report.html");
    const CommandResult result = succeed(place.command(4) + keys);
    CHECK(count(result.error, "no report: " + (place.out / "report.html").string()) == 1);
    CHECK(fs::exists(place.checkpoint(4)));
    fs::create_symlink("trace.json", place.out / "trace.json");  // a loop, which the system refuses to follow
    CHECK(count(succeed(place.command(5) + keys).error, "no report: ") == 1);
    CHECK(fs::exists(place.checkpoint(5)));
}

TEST_CASE("a page that is written again and again while runs go on, until a signal") {
    const Runs runs;
    const fs::path out = runs.folder / "report.html";
    Command command({"report", runs.dense.string(), "--out", out.string(), "--watch", "1", "--quiet"});
    const auto wait_for = [&](const auto& condition) {
        for (int i = 0; i < 200 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
        return condition();
    };
    CHECK(wait_for([&] { return fs::exists(out); }));
    CHECK(count(read_text(out), "<meta http-equiv=\"refresh\" content=\"1\"/>") == 1);
    CHECK(count(read_text(out), "6 / 6") == 1);
    succeed(pretrain_arguments(runs.data, runs.dense, 8) +
            Arguments{"--quiet", "--set", "model.layers=4", "--set", "log.every=2", "--set", "eval.every=3"});
    CHECK(wait_for([&] { return count(read_text(out), "8 / 8") == 1; }));
    command.kill(SIGINT);
    const CommandResult result = command.wait();
    CHECK(result.exit_code == 130);
    CHECK(result.error == "");
    CHECK(count(read_text(out), "http-equiv") == 0);  // the last one stays as it is
}

TEST_CASE("what is no run is refused in one line, and no file is written") {
    const TemporaryFolder folder;
    const fs::path run = folder / "run", out = folder / "report.html", file = run / "metrics.jsonl";
    const auto refused = [&](const Arguments& arguments, int code, const std::string& part) {
        check_refused(Arguments{"report"} + arguments, code, {part});
        CHECK(!fs::exists(out));
    };
    const Arguments report = {run.string(), "--out", out.string()};
    refused(report, 1, run.string() + ": expected the folder of a run, with metrics.jsonl");
    fs::create_directory(run);
    refused(report, 1, run.string() + ": expected the folder of a run, with metrics.jsonl");
    write_text(file, "");
    refused(report, 1, file.string() + ": no step yet: log.every says how often a run logs one");
    write_text(file, "{\"step\":1,\"tokens\":10}\nstep 2\n");
    refused(report, 1, file.string() + ":2: expected a JSON object with a step");
    write_text(file, "{\"step\":1,\"tokens\":10}\n{\"step\":900000000000000,\"eval_loss\":3}\n");
    refused(report, 1, file.string() + ":2: expected a JSON object with a step");
    write_text(file, "{\"step\":1,\"tokens\":10,\"loss\":3}\n");
    write_text(run / "config.toml", "[train]\nstep = 3\n");
    refused(report, 1, (run / "config.toml").string() + ":2: there is no key train.step; the nearest is train.steps");
    fs::remove(run / "config.toml");
    write_text(run / "trace.json", "{}");
    refused(report, 1,
            (run / "trace.json").string() + ": expected a trace that dropforge pretrain --trace has written");
    fs::remove(run / "trace.json");
    const fs::path nowhere = folder / "no" / "report.html";
    refused({run.string(), "--out", nowhere.string()}, 1, nowhere.string());
    refused({std::string("=").append(run.string()), "--out", out.string()}, 1,
            "expected RUN or LABEL=RUN, got =" + run.string());
    refused({run.string()}, 2, "--out is required");
    refused({"--out", out.string()}, 2, "a run, or --tasks is required");
    refused(report + Arguments{"--watch", "0"}, 2, "expected a whole number from 1 to 86400, got 0");
    const CommandResult curves = run_command(Arguments{"report", "--quiet"} + report);
    CHECK(curves.exit_code == 0);  // without a configuration it has its curves
    CHECK(curves.out == out.string() + "\n");
    CHECK(not_well_formed(read_text(out)) == "");
}
