#include "base/spinning.h"

#include <unistd.h>

#include <cstdlib>

namespace dropforge {

void limit_spinning(char** argv) {
    if (getenv("GOMP_SPINCOUNT") != nullptr || getenv("OMP_WAIT_POLICY") != nullptr) return;
    setenv("GOMP_SPINCOUNT", "1000", 1);
    execv("/proc/self/exe", argv);  // returns only if it fails: then the default has to do
}

}  // namespace dropforge
