// SIGINT and SIGTERM as a polite request: the first is noted for whoever asks, the second ends the process at once.
#pragma once

namespace dropforge {

/// Thrown when a noted signal has been honoured: main exits with 128 + signal.
struct Interrupted {
    int signal;
};

/// While one lives, the first SIGINT or SIGTERM only sets signal(); a second one exits with 128 + signal immediately.
class InterruptGuard {
  public:
    InterruptGuard();
    ~InterruptGuard();
    InterruptGuard(const InterruptGuard&) = delete;
    InterruptGuard& operator=(const InterruptGuard&) = delete;

    /// The signal that came, or 0.
    int signal() const;
};

}  // namespace dropforge
