#include "base/spinning.h"

#include <unistd.h>

#include <cstdlib>

#include "base/file.h"

namespace dropforge {

void limit_spinning(char** argv) {
    if (getenv("GOMP_SPINCOUNT") != nullptr || getenv("OMP_WAIT_POLICY") != nullptr) return;
    setenv("GOMP_SPINCOUNT", "1000", 1);
    // By the program's path, since `top` would show /proc/self/exe as "exe".
    std::error_code error;
    const fs::path program = fs::read_symlink("/proc/self/exe", error);
    if (!error) execv(program.c_str(), argv);  // returns only if it fails: then the default has to do
}

}  // namespace dropforge
