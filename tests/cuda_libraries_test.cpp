// Where CUDA's libraries are looked for.
#include <doctest/doctest.h>

#include <algorithm>

#include "kernels/cuda/libraries.h"
#include "temporary_folder.h"

using namespace dropforge;
using kernels::on_cuda::library_folders;

TEST_CASE("wheels beside a program that pip installed") {
    const TemporaryFolder environment;
    const fs::path program = environment / "bin";
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
