// The time that OpenMP's threads spin, before they sleep, when they wait for each other.
#pragma once

namespace dropforge {

/// Restarts the program with spins limited to microseconds, unless the environment sets them (GOMP_SPINCOUNT,
/// OMP_WAIT_POLICY). Call it first in main. libgomp reads the environment before main and by default spins for
/// milliseconds: where another process needs a core, a thread spends its time slices waiting for one that is not
/// running, and a step takes 5 to 20 times as long. On an idle machine short spins cost nothing measurable.
void limit_spinning(char** argv);

}  // namespace dropforge
