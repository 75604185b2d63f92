// The demo's text out of an R package's data and Perl's manual.
#include <doctest/doctest.h>

#include <string>

#include "base/file.h"
#include "tests/support/paths.h"
#include "tests/support/shell.h"
#include "tests/support/temporary_folder.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

const fs::path kGolden = fs::path(kTestData) / "demo_text";

Outcome demo_text(const std::string& kind, const fs::path& out, const fs::path& from) {
    return run_shell(std::string(kPrograms) + "/demo_text " + kind + " " + out.string() + " " + from.string());
}

/// As the only one, `text` made from a page of Perl's manual.
std::string prose_of(const std::string& page) {
    const TemporaryFolder folder;
    write_text(folder / "page.pod", page);
    CHECK(demo_text("pod", folder.path(), folder / "page.pod").text.empty());
    return read_text(folder / "page.txt");
}

}  // namespace

TEST_CASE("novels: paragraphs and chapters of the strings of an R package") {
    const TemporaryFolder folder;
    const Outcome outcome = demo_text("novels", folder.path(), kGolden);
    CHECK(outcome.text.empty());
    CHECK(outcome.exit_code == 0);
    CHECK(read_text(folder / "tale.txt") ==
          "A SHORT TALE\n\nCHAPTER I\nIt was a dark night, and nothing stirred.\n\nCHAPTER II\nCafé.\n");
}

TEST_CASE("novels: files that are damaged are named, and no text is written") {
    const TemporaryFolder folder, out;
    const auto refused = [&](const std::string& message) {
        const Outcome outcome = demo_text("novels", out.path(), folder.path());
        CHECK(outcome.exit_code == 1);
        CHECK(outcome.text == "error: " + message + "\n");
        CHECK(fs::is_empty(out.path()));
    };
    const std::string index = read_text(kGolden / "Rdata.rdx"), store = read_text(kGolden / "Rdata.rdb");
    const std::string index_file = (folder / "Rdata.rdx").string(), store_file = (folder / "Rdata.rdb").string();
    refused(index_file + ": cannot open: No such file or directory");
    write_text(index_file, index);
    write_text(store_file, store.substr(0, 60));
    refused(store_file + ": the index names 0 + 141, of 60 bytes");
    std::string damaged = store;
    damaged[3] = static_cast<char>(damaged[3] + 1);  // the length
    write_text(store_file, damaged);
    refused(store_file + ": 192 bytes where 193 were expected");
    damaged = store;
    damaged[40] = static_cast<char>(damaged[40] ^ 1);
    write_text(store_file, damaged);
    refused(store_file + ": compressed data that is damaged or cut off");
    write_text(store_file, store);
    write_text(index_file, index.substr(0, index.size() - 9));
    refused(index_file + ": compressed data that is damaged or cut off");
}

TEST_CASE("pod: prose without code, and without what is for other formats") {
    const TemporaryFolder folder;
    const Outcome outcome = demo_text("pod", folder.path(), kGolden / "sample.pod");
    CHECK(outcome.text.empty());
    CHECK(outcome.exit_code == 0);
    CHECK(read_text(folder / "sample.txt") ==
          "NAME\nsample - a small page\n\nUSE OF a AND the rest\n"
          "The first code paragraph is wrapped; see Below and 1 < 2.\nAn item's text.\nBelow\nLast.\n");
}

TEST_CASE("pod: formatting codes") {
    CHECK(prose_of("=pod\n\nread C<< $a->b >> and C<<< x << y >>> or B<<not a code>>\n") ==
          "read $a->b and x << y or B<<not a code>>\n");
    CHECK(prose_of("=pod\n\na B<bold I<and B<bolder E<sol> more>>> text S<kept> Z<>gone\n") ==
          "a bold and bolder / more text kept gone\n");
    CHECK(prose_of("=pod\n\nthe L<\"quoted\"\n|perlop>text\n") == "the quoted text\n");
    CHECK(prose_of("=pod\n\nL</\"A section\">, L<perlop|perlop/\"Terms\">, xE<gt>, E<verbar>, E<eacute>\n") ==
          "A section, perlop, xE<gt>, |,\n");
}
