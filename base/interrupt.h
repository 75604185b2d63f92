// SIGINT and SIGTERM as requests to stop: the first is recorded, the second ends the process at once.
#pragma once

namespace dropforge {

/// Thrown after an orderly stop because of a signal: main exits with 128 + signal.
struct Interrupted {
    int signal;
};

/// While a guard exists, the first SIGINT or SIGTERM only sets signal(); the second exits with 128 + signal at once.
class InterruptGuard {
  public:
    InterruptGuard();
    ~InterruptGuard();
    InterruptGuard(const InterruptGuard&) = delete;
    InterruptGuard& operator=(const InterruptGuard&) = delete;

    /// The signal received, or 0.
    int signal() const;
};

}  // namespace dropforge
