#include "tools/cli/signals.h"

#include <sysexits.h>

#include <array>
#include <cstddef>

namespace residua {
namespace {

constexpr std::array kStopSignals = {SIGINT, SIGTERM, SIGHUP};

volatile std::sig_atomic_t stopped_by = 0;
volatile std::sig_atomic_t asked_to_save = 0;
volatile std::sig_atomic_t caught[kStopSignals.size()] = {};  // those that end the run

}  // namespace

void catch_signals() {
  struct sigaction action {};
  action.sa_handler = [](int number) {
    stopped_by = number;
    for (size_t i = 0; i < kStopSignals.size(); ++i) {
      if (caught[i] != 0) {
        std::signal(kStopSignals[i], SIG_DFL);
      }
    }
  };
  for (size_t i = 0; i < kStopSignals.size(); ++i) {
    struct sigaction before {};
    sigaction(kStopSignals[i], nullptr, &before);
    if (before.sa_handler != SIG_IGN) {
      caught[i] = 1;
      sigaction(kStopSignals[i], &action, nullptr);
    }
  }
  struct sigaction other {};
  other.sa_flags = SA_RESTART;
  other.sa_handler = [](int) { stopped_by = SIGALRM; };
  sigaction(SIGALRM, &other, nullptr);
  other.sa_handler = [](int) { asked_to_save = 1; };
  sigaction(SIGUSR1, &other, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

const volatile std::sig_atomic_t& stop_signal() { return stopped_by; }

volatile std::sig_atomic_t& save_request() { return asked_to_save; }

int exit_code(int stopped_by) { return stopped_by == 0 ? 0 : stopped_by == SIGALRM ? EX_TEMPFAIL : 128 + stopped_by; }

}  // namespace residua
