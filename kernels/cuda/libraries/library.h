// Libraries of CUDA that are opened at their first use, so that a program starts at once, and without them.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"

namespace dropforge::kernels::on_cuda {

/// An open library. It is never closed: what it has started may outlive any caller.
class Library {
  public:
    /// The first of `names` that can be opened, in this order of places: the folders of the environment variable
    /// DROPFORGE_CUDA_LIBRARIES (full paths, separated by colons), the system's own search, the toolkits and wheels in
    /// library_folders(). Error that says what was looked for where, and if the system's search would find it in the
    /// working folder.
    static Library open(const std::vector<std::string>& names);

    /// Error if the library has no such function.
    template <typename Function>
    void find(const char* name, Function*& function) const {
        function = reinterpret_cast<Function*>(address(name));
    }
    /// The file it was loaded from.
    const std::string& path() const { return path_; }

  private:
    explicit Library(void* handle, std::string path) : handle_(handle), path_(std::move(path)) {}
    void* address(const char* name) const;

    void* handle_;
    std::string path_;
};

/// Folders that exist and may have CUDA's libraries: of CUDA_PATH and CUDA_HOME, of the toolkit that this program was
/// built with, of /usr/local/cuda, and of Python wheels (site-packages/nvidia/…) beside them, in `.cuda` of `program`,
/// the program's folder, or of one above it, and in the environment whose bin/ that is: there are those that pip
/// installs with the program. Of the latter two only folders that nobody may write but this user, root and the
/// program's owner.
std::vector<fs::path> library_folders(const fs::path& program);

}  // namespace dropforge::kernels::on_cuda
