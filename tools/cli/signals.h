#pragma once

#include <csignal>

namespace residua {

/// Installs signal handlers. The first SIGINT, SIGTERM or SIGHUP only sets stop_signal(); a second one ends the program at
/// once. SIGALRM, the end of the time limit, also sets it. SIGUSR1 sets save_request(). Ignored signals stay ignored (nohup).
/// SIGPIPE and SIGXFSZ no longer end the program: the write fails instead.
void catch_signals();

/// The number of the signal that was caught, or 0.
const volatile std::sig_atomic_t& stop_signal();

/// 1 after SIGUSR1. Who saves the run sets it to 0 again.
volatile std::sig_atomic_t& save_request();

/// The exit code of a run that stopped on a signal: 128 + the signal's number or, at the time limit, 75 (EX_TEMPFAIL: to be
/// tried again).
int exit_code(int stopped_by);

}  // namespace residua
