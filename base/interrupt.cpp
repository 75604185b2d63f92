#include "base/interrupt.h"

#include <unistd.h>

#include <csignal>

namespace dropforge {

namespace {

// A signal handler can access only a global.
volatile std::sig_atomic_t noted_signal = 0;

void note(int signal) {
    if (noted_signal != 0) _exit(128 + signal);
    noted_signal = signal;
}

void set_handler(void (*handler)(int)) {
    struct sigaction action {};
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
}

}  // namespace

InterruptGuard::InterruptGuard() {
    noted_signal = 0;
    set_handler(note);
}

InterruptGuard::~InterruptGuard() { set_handler(SIG_DFL); }

int InterruptGuard::signal() const { return noted_signal; }

}  // namespace dropforge
