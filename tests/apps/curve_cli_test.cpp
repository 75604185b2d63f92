// dropforge curve: runs that are drawn, and what it refuses.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/support/command.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/well_formed.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

/// A run of 1000 tokens a step that was evaluated every second step, with these losses.
void write_run(const fs::path& run, const std::vector<double>& losses) {
    std::string lines;
    for (size_t i = 0; i < losses.size(); ++i)
        lines += fmt::format("{{\"step\":{0},\"tokens\":{0}000,\"loss\":9.9}}\n{{\"step\":{0},\"eval_loss\":{1}}}\n",
                             2 * (i + 1), losses[i]);
    fs::create_directories(run);
    write_text(run / "metrics.jsonl", lines);
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
}

}  // namespace

TEST_CASE("curves in characters: axes, a mark for each label, the last loss of each run") {
    const TemporaryFolder folder;
    const std::string dense = (folder / "dense").string(), sctd = (folder / "sctd").string();
    write_run(dense, {6, 5, 4, 3});
    write_run(sctd, {5.5, 3.25});
    const CommandResult result = run_command({"curve", "dense=" + dense, sctd});
    CHECK(result.error.empty());
    CHECK(result.exit_code == 0);
    const std::vector<std::string> lines = lines_of(result.out);
    REQUIRE(lines.size() == 22);
    CHECK(lines[0] == "validation loss, nats a masked token");
    CHECK(lines[1] == "  6.50 |");
    CHECK(lines[3].substr(0, 27) == "       |                  *");  // 2000 of 8000 tokens, 6 nats
    CHECK(lines[17].substr(0, 9) == "  3.00 | ");
    CHECK(lines[17].back() == '*');  // 8000 tokens, 3 nats
    CHECK(lines[17].size() == 8 + 72);
    CHECK(lines[16][8 + 35] == 'o');  // 4000 tokens, 3.25 nats: where sctd ends
    CHECK(lines[18] == "       +" + std::string(72, '-'));
    CHECK(lines[19].substr(0, 9) == "        0");
    CHECK(lines[19].ends_with(" 8.0 k tokens"));
    CHECK(lines[19].find(" 4.0 k ") != std::string::npos);
    CHECK(lines[20] == fmt::format("* {:{}}  3.0000 after 8.0 k tokens  {}", "dense", sctd.size(), dense));
    CHECK(lines[21] == fmt::format("o {}  3.2500 after 4.0 k tokens", sctd));
    for (size_t row = 1; row <= 17; ++row)  // a line without gaps: a mark of dense in each row from 6 nats to 3
        CHECK((lines[row].find('*') != std::string::npos) == (row >= 3));
}

TEST_CASE("an evaluation between two lines of steps, of a run that is being written") {
    const TemporaryFolder folder;
    write_text(folder / "metrics.jsonl",
               "{\"step\":10,\"tokens\":1000}\n{\"step\":15,\"eval_loss\":2}\n{\"step\":20,\"tokens\":2000}\n"
               "{\"step\":20,\"eval_loss\":null}\n{\"step\":25,\"eval_loss\":1.5}\n{\"step\":30,\"eval_l");
    const CommandResult result = run_command({"curve", "--json", "a=" + folder.path().string()});
    CHECK(result.exit_code == 0);
    const auto points = nlohmann::json::parse(result.out)[0]["points"];
    CHECK(points ==
          nlohmann::json::parse(R"([{"step":15,"tokens":1500.0,"loss":2.0},{"step":25,"tokens":2500.0,"loss":1.5}])"));
}

TEST_CASE("a run whose name is not UTF-8 has its curve as JSON too") {
    const TemporaryFolder folder;
    const std::string run = (folder / "a\xFF").string();
    write_run(run, {6, 3});
    const CommandResult result = run_command({"curve", "--json", run});
    CHECK(result.exit_code == 0);
    CHECK(nlohmann::json::parse(result.out)[0]["run"].get<std::string>().ends_with("/a\xEF\xBF\xBD"));
}

TEST_CASE("lines that somebody wrote are drawn too") {
    const TemporaryFolder folder;
    write_text(folder / "metrics.jsonl",
               "{\"step\":1,\"tokens\":9000}\n{\"step\":1,\"eval_loss\":7}\n{\"step\":2,\"tokens\":9000}\n"
               "{\"step\":2,\"eval_loss\":1}\n{\"step\":3,\"tokens\":10}\n{\"step\":3,\"eval_loss\":4}\n");
    const CommandResult result = run_command({"curve", "a=" + folder.path().string()});
    CHECK(result.exit_code == 0);
    CHECK(lines_of(result.out).size() == 21);
}

TEST_CASE("curves as SVG: a path for each run, one colour and one name for each label") {
    const TemporaryFolder folder;
    const std::string one = (folder / "one").string(), two = (folder / "two").string(),
                      svg = (folder / "c.svg").string();
    write_run(one, {6, 3});
    write_run(two, {5, 4});
    CHECK(run_command({"curve", "a<b=" + one, "a<b=" + two, "c=" + two, "--svg", svg}).exit_code == 0);
    const std::string text = read_text(svg);
    CHECK(not_well_formed(text) == "");
    CHECK(text.find(" xmlns=\"http://www.w3.org/2000/svg\"") != std::string::npos);
    const auto count = [&](const std::string& part) {
        int found = 0;
        for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
        return found;
    };
    CHECK(count("<g class=\"c0 d0\"><title>a&lt;b</title>") == 2);
    CHECK(count("<g class=\"c1 d1\"><title>c</title>") == 1);
    CHECK(count("<text class=\"label ") == 2);
    // From half of the tokens and 6 nats to all and 3, in a frame 411.2 units wide and 228 high for 2.88 … 6.12 nats.
    CHECK(count("d=\"M205.6 8.4l205.6 211.2\"") == 1);
}

TEST_CASE("what is no run, or has no evaluation, is refused with its name, and no file is written") {
    const TemporaryFolder folder;
    const std::string run = (folder / "run").string(), svg = (folder / "c.svg").string(), file = run + "/metrics.jsonl";
    const auto refused = [&](const std::string& argument, const std::string& message) {
        const CommandResult result = run_command({"curve", argument, "--svg", svg});
        CHECK(result.exit_code == 1);
        CHECK(result.error == "error: " + message + "\n");
        CHECK(result.out.empty());
        CHECK(!fs::exists(svg));
    };
    refused(run, run + ": expected the folder of a run, with metrics.jsonl");
    refused("=" + run, "expected RUN or LABEL=RUN, got =" + run);
    fs::create_directory(run);
    const std::string none =
        ": no evaluation yet: eval.every says how often a run has one, on the validation text of its data";
    for (const char* text : {"", "{\"step\":1,\"tokens\":10,\"loss\":3}\n", "{\"step\":1,\"eval_loss\":3}\n"}) {
        write_text(file, text);
        refused("a=" + run, file + none);
    }
    write_text(file, "{\"step\":1,\"tokens\":10}\n[1]\n");
    refused(run, file + ":2: expected a JSON object with a step");
    CHECK(run_command({"curve"}).exit_code == 2);
}
