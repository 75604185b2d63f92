#include "base/file.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "base/error.h"
#include "base/file_lock.h"
#include "tests/support/temporary_folder.h"

using namespace dropforge;

namespace {

size_t entries(const TemporaryFolder& folder) {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()));
}

/// Lets files grow to `bytes` only while it lives: the disk is full.
class FullDisk {
  public:
    explicit FullDisk(rlim_t bytes) {
        handler_ = std::signal(SIGXFSZ, SIG_IGN);
        getrlimit(RLIMIT_FSIZE, &before_);
        const rlimit limit{bytes, before_.rlim_max};
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~FullDisk() {
        setrlimit(RLIMIT_FSIZE, &before_);
        std::signal(SIGXFSZ, handler_);
    }
    FullDisk(const FullDisk&) = delete;
    FullDisk& operator=(const FullDisk&) = delete;

  private:
    void (*handler_)(int);
    rlimit before_{};
};

}  // namespace

TEST_CASE("text goes to a file and back, empty text too") {
    const TemporaryFolder folder;
    write_text(folder / "a", "one\ntwo");
    CHECK(read_text(folder / "a") == "one\ntwo");
    write_text(folder / "a", "");
    CHECK(read_text(folder / "a") == "");
    CHECK(entries(folder) == 1);
}

TEST_CASE("small, large and overwritten pieces arrive in order") {
    const TemporaryFolder folder;
    std::string expected(8, '-');
    AtomicFile file(folder / "a");
    file.write(expected);
    for (int i = 0; i < 40; ++i) {
        const std::string piece(i % 7 == 0 ? (1 << 20) + i : 1000 * i, static_cast<char>('a' + i % 26));
        file.write(piece);
        expected += piece;
    }
    CHECK(file.size() == expected.size());
    file.write_at(2, "xyz", 3);
    file.write("end");
    expected.replace(2, 3, "xyz");
    file.commit();
    CHECK(read_text(folder / "a") == expected + "end");
    AtomicFile other(folder / "b");
    other.write("1234");
    CHECK_THROWS_AS(other.write_at(3, "56", 2), Error);
}

TEST_CASE("without commit the file stays as it was and nothing is left behind") {
    const TemporaryFolder folder;
    write_text(folder / "a", "old");
    {
        AtomicFile file(folder / "a");
        file.write("new");
        CHECK(read_text(folder / "a") == "old");
    }
    CHECK(read_text(folder / "a") == "old");
    CHECK(entries(folder) == 1);
}

TEST_CASE("a full disk is an error with path and reason; the old file stays") {
    const TemporaryFolder folder;
    write_text(folder / "a", "old");
    std::string message;
    try {
        const FullDisk full(4096);
        write_text(folder / "a", std::string(100'000, 'x'));
    } catch (const Error& error) {
        message = error.what();
    }
    CHECK(message == (folder / "a").string() + ": cannot write: File too large");
    CHECK(read_text(folder / "a") == "old");
    CHECK(entries(folder) == 1);
}

TEST_CASE("a rename that fails leaves no temporary file") {
    const TemporaryFolder folder;
    fs::create_directories(folder / "a/inside");
    CHECK_THROWS_WITH_AS(write_text(folder / "a", "text"),
                         ((folder / "a").string() + ": cannot rename: Is a directory").c_str(), Error);
    CHECK(entries(folder) == 1);
}

TEST_CASE("a temporary file is a new one: what has its name, a link too, stays as it is") {
    const TemporaryFolder folder;
    const std::string name = fmt::format("a.tmp{}", getpid());
    write_text(folder / "elsewhere", "theirs");
    fs::create_symlink(folder / "elsewhere", folder / name);
    write_text(folder / fmt::format("a.tmp{}", getpid() + 1), "left by a process of that id");
    write_text(folder / "a", "ours");
    CHECK(read_text(folder / "a") == "ours");
    CHECK(read_text(folder / "elsewhere") == "theirs");
    CHECK(fs::is_symlink(folder / name));
    CHECK(entries(folder) == 4);
}

TEST_CASE("names of temporary files") {
    for (const char* name : {"a.tmp1", "a.tmp4294967296"}) CHECK(final_name(name) == "a");
    for (const char* name : {"a", "a.tmp", "a.tmpx", "a.tmp1x", "tmp1"}) CHECK(final_name(name) == name);
}

TEST_CASE("folders are made with those above; none is left where one cannot be") {
    const TemporaryFolder folder;
    CHECK(make_folders(folder / "a/b/c/").size() == 3);
    CHECK(make_folders(folder / "a/b").empty());
    write_text(folder / "file", "");
    const std::string below = (folder / "file/d/e").string();
    CHECK_THROWS_WITH_AS(make_folders(below), (below + ": cannot create: Not a directory").c_str(), Error);
    CHECK(make_folders(folder / "a/b/d").size() == 1);
}

TEST_CASE("a lock: one holder, also where the one before has removed the file") {
    const TemporaryFolder folder;
    const fs::path file = folder / "lock";
    {
        FileLock first(file, IfHeld::give_up);
        CHECK((first.held() && first.created()));
        first.write("me");
        CHECK(read_text(file) == "me");
        CHECK_FALSE(FileLock(file, IfHeld::give_up).held());
        first.remove();
        const FileLock next(file, IfHeld::give_up);  // the first is one on nothing now
        CHECK((next.held() && next.created()));
    }
    const FileLock last(file, IfHeld::wait);
    CHECK((last.held() && !last.created()));
    fs::create_symlink(file, folder / "link");
    CHECK_THROWS_AS(FileLock(folder / "link", IfHeld::wait), Error);
}

TEST_CASE("missing files and folders are named") {
    const TemporaryFolder folder;
    const std::string path = (folder / "none/a").string();
    CHECK_THROWS_WITH_AS(MappedFile{path}, (path + ": cannot open: No such file or directory").c_str(), Error);
    CHECK_THROWS_WITH_AS(write_text(path, "x"), (path + ": cannot write: No such file or directory").c_str(), Error);
    CHECK_THROWS_WITH_AS(MappedFile{folder.path()}, (folder.path().string() + ": not a regular file").c_str(), Error);
    CHECK_THROWS_AS(sync_folder(folder / "none"), Error);
}

TEST_CASE("a map moves with its memory") {
    const TemporaryFolder folder;
    write_text(folder / "a", "aaa");
    write_text(folder / "b", "bbb");
    MappedFile a(folder / "a"), b(folder / "b");
    const std::byte* memory = a.bytes().data();
    MappedFile moved = std::move(a);
    CHECK(moved.bytes().data() == memory);
    CHECK(moved.text() == "aaa");
    b = std::move(moved);
    CHECK(b.text() == "aaa");
    CHECK(b.path() == folder / "a");
}

TEST_CASE("free disk is required with the numbers") {
    const TemporaryFolder folder;
    CHECK_NOTHROW(require_free_disk(folder.path(), 1));
    CHECK_THROWS_AS(require_free_disk(folder.path(), ~uint64_t{0}), Error);
    CHECK_THROWS_AS(require_free_disk(folder / "none", 1), Error);
}
