#include "base/installation.h"

namespace dropforge {

fs::path program_folder() {
    std::error_code error;
    return fs::read_symlink("/proc/self/exe", error).parent_path();
}

fs::path shared_folder() { return program_folder().parent_path() / "share" / "dropforge"; }

}  // namespace dropforge
