#pragma once

#include <csignal>

namespace residua {

/// From now on the first of SIGINT, SIGTERM and SIGHUP only sets stop_signal(), and a second one ends the program at once. A
/// signal that was ignored stays so (nohup). That nobody reads the output any more, or that a file may not grow, ends nothing:
/// writing says so.
void catch_signals();

/// The number of the signal that was caught, or 0.
const volatile std::sig_atomic_t& stop_signal();

}  // namespace residua
