#pragma once

#include <csignal>

namespace residua {

/// Installs signal handlers: the first SIGINT, SIGTERM or SIGHUP only sets stop_signal(); a second one ends the program at
/// once. Ignored signals stay ignored (nohup). SIGPIPE and SIGXFSZ no longer end the program: the write fails instead.
void catch_signals();

/// The number of the signal that was caught, or 0.
const volatile std::sig_atomic_t& stop_signal();

}  // namespace residua
