// How long OpenMP's threads spin before they sleep when they wait for each other.
#pragma once

namespace dropforge {

/// First thing in main: unless the environment says how to wait (GOMP_SPINCOUNT, OMP_WAIT_POLICY), starts the program
/// again with spins cut to microseconds. By default libgomp spins for milliseconds, and reads the environment before
/// main: where another process wants a core, a thread then burns its share of time waiting for one that is not running,
/// and a step takes 5 to 20 times as long. On an idle machine short spins cost nothing that can be measured.
void limit_spinning(char** argv);

}  // namespace dropforge
