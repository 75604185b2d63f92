#include "kernels/cuda/libraries/library.h"

#include <dlfcn.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "base/error.h"
#include "base/installation.h"

namespace dropforge::kernels::on_cuda {

namespace {

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

/// The folders of an environment variable: those with a full path, or the others, which would be below whatever folder
/// the program happens to be started in.
std::vector<fs::path> listed(const char* name, bool absolute) {
    std::vector<fs::path> folders;
    std::istringstream list(environment(name));
    for (std::string folder; std::getline(list, folder, ':');)
        if (fs::path(folder).is_absolute() == absolute) folders.emplace_back(folder);
    return folders;
}

/// For the system an empty part of LD_LIBRARY_PATH is the working folder, and one is easily made (`A:$NOT_SET`).
void refuse_working_folder(const std::string& name) {
    std::error_code error;
    for (const fs::path& folder : listed("LD_LIBRARY_PATH", false))
        require(
            !fs::exists(folder / name, error),
            "{}: lies below the working folder, from which an empty or relative part of LD_LIBRARY_PATH would load it: "
            "only libraries from folders with a full path are opened",
            (folder / name).string());
}

/// Whether users other than this one, root and the program's owner may write to `folder`. A user who starts the program
/// trusts its owner.
bool others_may_write(const fs::path& folder, const fs::path& program) {
    struct stat s {
    }, of_program{};
    if (stat(folder.c_str(), &s) != 0 || stat(program.c_str(), &of_program) != 0) return true;
    const bool foreign = s.st_uid != 0 && s.st_uid != geteuid() && s.st_uid != of_program.st_uid;
    const bool shared_group = (s.st_mode & S_IWGRP) != 0 && s.st_gid != s.st_uid;  // not the group of one user
    return foreign || shared_group || (s.st_mode & S_IWOTH) != 0;
}

std::string path_of(void* handle, const std::string& name) {
    link_map* map = nullptr;
    if (dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 && map != nullptr && *map->l_name != '\0') return map->l_name;
    return name;
}

/// Adds `folder` if it exists and is not there yet.
void add(std::vector<fs::path>& folders, const fs::path& folder) {
    std::error_code error;
    if (!fs::is_directory(folder, error)) return;
    if (std::ranges::find(folders, folder) == folders.end()) folders.push_back(folder);
}

void add_wheels(std::vector<fs::path>& folders, const fs::path& packages) {
    for (const char* wheel : {"cu13", "cublas", "cudnn"}) add(folders, packages / "nvidia" / wheel / "lib");
}

/// A virtual environment, or a folder of packages (pip install --target).
void add_environment(std::vector<fs::path>& folders, const fs::path& root) {
    add_wheels(folders, root);
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(root / "lib", error))
        if (entry.path().filename().string().starts_with("python"))
            for (const char* packages : {"site-packages", "dist-packages"})
                add_wheels(folders, entry.path() / packages);
}

void add_toolkit(std::vector<fs::path>& folders, const fs::path& root) {
    for (const char* libraries : {"lib64", "lib", "targets/x86_64-linux/lib"}) add(folders, root / libraries);
    add_wheels(folders, root.parent_path().parent_path());  // the toolkit is a wheel: site-packages/nvidia/NAME
}

}  // namespace

std::vector<fs::path> library_folders(const fs::path& program) {
    std::vector<fs::path> folders;
    for (const std::string& root :
         {environment("CUDA_PATH"), environment("CUDA_HOME"), std::string(DROPFORGE_CUDA_TOOLKIT)})
        if (fs::path(root).is_absolute()) add_toolkit(folders, root);
    add_toolkit(folders, "/usr/local/cuda");
    const auto add_safe = [&](const fs::path& root, const fs::path& environment) {
        std::vector<fs::path> found;
        add_environment(found, environment);
        for (const fs::path& folder : found) {
            bool safe = !others_may_write(root, program);
            for (fs::path part = folder; safe && part != root; part = part.parent_path())
                safe = !others_may_write(part, program);
            if (safe) add(folders, folder);
        }
    };
    for (fs::path folder = program; folder.has_relative_path(); folder = folder.parent_path())
        add_safe(folder, folder / ".cuda");
    add_safe(program.parent_path(), program.parent_path());
    return folders;
}

Library Library::open(const std::vector<std::string>& names) {
    std::string why, places;
    const auto try_to_open = [&](const fs::path& path) -> void* {
        void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
        const char* reason = handle == nullptr ? dlerror() : nullptr;
        // A library that exists but cannot be loaded is the likely cause, so its error is reported.
        std::error_code error;
        if (reason != nullptr && why.empty() && fs::exists(path, error)) why = fmt::format("; {}", reason);
        return handle;
    };
    const auto try_folders = [&](const std::vector<fs::path>& folders) -> void* {
        for (const fs::path& folder : folders) {
            places += fmt::format("{}{}", places.empty() ? "" : ", ", folder.string());
            for (const std::string& name : names)
                if (void* handle = try_to_open(folder / name)) return handle;
        }
        return nullptr;
    };
    void* handle = try_folders(listed("DROPFORGE_CUDA_LIBRARIES", true));
    for (size_t i = 0; handle == nullptr && i < names.size(); ++i) {
        refuse_working_folder(names[i]);
        handle = try_to_open(names[i]);
    }
    if (handle == nullptr) {
        places += fmt::format("{}the system's folders", places.empty() ? "" : ", ");
        handle = try_folders(library_folders(program_folder()));
    }
    if (handle == nullptr)
        throw Error("cannot open {}: looked in {}{} (DROPFORGE_CUDA_LIBRARIES can name a folder)",
                    fmt::join(names, " or "), places, why);
    return Library(handle, path_of(handle, names.front()));
}

void* Library::address(const char* name) const {
    void* found = dlsym(handle_, name);
    require(found != nullptr, "{} has no function {}", path_, name);
    return found;
}

}  // namespace dropforge::kernels::on_cuda
