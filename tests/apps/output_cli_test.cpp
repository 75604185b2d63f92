// What the programs do where their output cannot be written, and what the system calls them.
#include <doctest/doctest.h>

#include "tests/support/pretrain_fixture.h"
#include "tests/support/shell.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

std::string program(const char* name) { return std::string(kPrograms) + "/" + name; }

Outcome with_stdout(const std::string& where, const std::string& command) {
    return run_shell(fmt::format("{} {}", command, where));
}

}  // namespace

TEST_CASE("a stdout that takes nothing, or is closed, is an error of every command") {
    const Place place;
    succeed(place.command(2));
    const std::string data = place.data.string(), checkpoint = place.checkpoint(2).string(),
                      dropforge = program("dropforge");
    write_text(place.folder / "metrics.jsonl", "{\"step\":1,\"tokens\":9}\n{\"step\":1,\"eval_loss\":2}\n");
    const std::string commands[] = {
        dropforge + " --version",
        dropforge + " --help",
        dropforge + " pretrain --help",
        dropforge + " " + joined(place.command(3, {"--quiet"})),
        dropforge + " " + joined(place.command(4, {"--quiet", "--dry-run"})),
        fmt::format("{} prepare --quiet --text {} --vocab {} --out {}", dropforge, (place.folder / "text.txt").string(),
                    data + "/vocab.txt", (place.folder / "again").string()),
        fmt::format("{} fill --model {} 'ba [MASK]'", dropforge, checkpoint),
        fmt::format("{} evaluate --model {} --data {} --sequence 16", dropforge, checkpoint, data),
        fmt::format("{} curve {}", dropforge, place.folder.path().string()),
        fmt::format("{} metrics {}", dropforge, place.folder.path().string()),
        fmt::format("{} report {} --out {}", dropforge, place.folder.path().string(),
                    (place.folder / "report.html").string()),
        fmt::format("{} look {} --step 1", dropforge, place.out.string()),
        fmt::format("rm -rf {0}; {1} export {2} --out {0}", (place.folder / "exported").string(), dropforge,
                    place.out.string()),
        fmt::format("{} inspect {}", dropforge, data),
        fmt::format("{} inspect --json {}", dropforge, checkpoint),
        fmt::format("echo ba | {} tokenize --quiet --vocab {}/vocab.txt", dropforge, data),
        program("bench") + " --version",
        program("bench") + " --help",
    };
    for (const std::string& command : commands) {
        CAPTURE(command);
        const Outcome full = with_stdout(">/dev/full", command), closed = with_stdout(">&-", command);
        CHECK(full.exit_code == 1);
        CHECK(full.text == "error: cannot write to stdout: No space left on device\n");
        CHECK(closed.exit_code == 1);
        CHECK(closed.text == "error: cannot write to stdout: Bad file descriptor\n");
        CHECK(with_stdout(">/dev/null", command).exit_code == 0);
    }
    CHECK(fs::exists(place.checkpoint(3)));
}

TEST_CASE("a stderr that takes nothing does not stop a run, nor hide an error's exit code") {
    const Place place;
    const std::string dropforge = program("dropforge") + " ";
    for (const char* where : {"2>/dev/full", "2>&-"}) {
        CHECK(with_stdout(where, dropforge + joined(place.command(2))).exit_code == 0);
        CHECK(with_stdout(where, dropforge + "nonsense").exit_code == 2);
        CHECK(with_stdout(where, dropforge + "inspect nothing").exit_code == 1);
        fs::remove_all(place.out);
    }
}

TEST_CASE("a process has the program's name, also where it has started itself again") {
    const TemporaryFolder folder;
    write_text(folder / "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n");
    // It waits for stdin meanwhile.
    const Outcome names =
        run_shell(fmt::format("unset GOMP_SPINCOUNT OMP_WAIT_POLICY; mkfifo {0}/in; {1} tokenize --vocab {0}/vocab.txt "
                              "< {0}/in & exec 3> {0}/in; "
                              "for try in $(seq 100); do grep -q GOMP_SPINCOUNT /proc/$!/environ && break; sleep 0.02; "
                              "done; cat /proc/$!/comm",
                              folder.path().string(), program("dropforge")));
    CHECK(contains(names.text, "dropforge\n"));
}

TEST_CASE("a path that the system refuses is named, with its reason") {
    const std::string name(300, 'a');
    for (const std::string command :
         {"report {} --out page.html", "inspect {}", "evaluate --model {} --data data", "fill --model {} '[MASK]'"}) {
        const Outcome refused =
            run_shell(fmt::format("{} {}", program("dropforge"), fmt::format(fmt::runtime(command), name)));
        CHECK(refused.exit_code == 1);
        CHECK(refused.text.starts_with("error: " + name));
        CHECK(refused.text.ends_with(": File name too long\n"));
    }
}
