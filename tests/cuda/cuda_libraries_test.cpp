// Where CUDA's libraries are looked for.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>

#include "kernels/cuda/libraries/library.h"
#include "tests/support/message_of.h"
#include "tests/support/temporary_folder.h"

using namespace dropforge;
using kernels::on_cuda::Library;
using kernels::on_cuda::library_folders;

TEST_CASE("wheels beside a program that pip installed") {
    const TemporaryFolder environment;
    const fs::path program = environment / "bin";
    fs::create_directory(program);
    const auto of_environment = [&] {
        std::vector<std::string> found;
        for (const fs::path& folder : library_folders(program)) {
            const std::string path = folder.lexically_relative(environment.path()).string();
            if (!path.starts_with("..")) found.push_back(path);
        }
        std::ranges::sort(found);
        return found;
    };
    CHECK(of_environment().empty());
    const std::vector<std::string> wheels = {
        "lib/python3.11/site-packages/nvidia/cu13/lib",   // a virtual environment
        "lib/python3.11/site-packages/nvidia/cudnn/lib",  //
        "lib/python3/dist-packages/nvidia/cudnn/lib",     // Debian's own pip
        "nvidia/cublas/lib",                              // pip install --target
    };
    for (const std::string& wheel : wheels) fs::create_directories(environment / wheel);
    fs::create_directories(environment / "lib/python3.11/site-packages/nvidia/nothing/lib");
    std::vector<std::string> wanted = wheels;
    std::ranges::sort(wanted);
    CHECK(of_environment() == wanted);
}

TEST_CASE("not from where others may put a library, nor from the folder that the program is started in") {
    const TemporaryFolder folder;
    const auto check = [&](const fs::path& program, const fs::path& wheel, std::initializer_list<fs::path> on_the_way) {
        fs::create_directories(program);
        fs::create_directories(wheel);
        const auto has_wheel = [&] {
            const auto folders = library_folders(program);
            return std::ranges::find(folders, wheel) != folders.end();
        };
        CHECK(has_wheel());
        for (const fs::path& writable : on_the_way) {
            fs::permissions(writable, fs::perms::others_write, fs::perm_options::add);
            CHECK_FALSE(has_wheel());
            fs::permissions(writable, fs::perms::others_write, fs::perm_options::remove);
        }
        CHECK(has_wheel());
    };
    const fs::path environment = folder / "environment", build = folder / "build";
    const fs::path wheel = environment / "nvidia/cudnn/lib", above = build / ".cuda/nvidia/cudnn/lib";
    check(environment / "bin", wheel, {wheel, environment / "nvidia", environment});
    check(build / "release/bin", above, {above, build / ".cuda", build});

    const fs::path before = fs::current_path(), elsewhere = folder / "elsewhere";
    fs::create_directories(elsewhere / ".cuda/nvidia/cudnn/lib");
    write_text(elsewhere / "libdropforge_none.so", "not a library");
    fs::current_path(elsewhere);
    for (const fs::path& found : library_folders(environment / "bin"))
        CHECK_FALSE(found.string().starts_with(elsewhere.string()));
    const auto error = [] { return test::message_of([] { Library::open({"libdropforge_none.so"}); }); };
    CHECK(error().starts_with("cannot open libdropforge_none.so: looked in "));
    setenv("DROPFORGE_CUDA_LIBRARIES", ".", 1);
    CHECK(error().starts_with("cannot open libdropforge_none.so: looked in the system's folders"));
    unsetenv("DROPFORGE_CUDA_LIBRARIES");
    const std::string path = getenv("LD_LIBRARY_PATH") == nullptr ? "" : getenv("LD_LIBRARY_PATH");
    setenv("LD_LIBRARY_PATH", "/usr/lib::/lib", 1);  // glibc has read it before: the check sees what it would do
    CHECK(error().starts_with("libdropforge_none.so: lies below the working folder"));
    setenv("LD_LIBRARY_PATH", path.c_str(), 1);
    fs::current_path(before);
}
