// How many threads are worth starting.
#pragma once

namespace dropforge {

/// Physical cores among the processors that this process may run on (hyper-threads count once); at least 1.
int physical_cores();

}  // namespace dropforge
