#include "tools/cli/curves.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <utility>

#include "tools/cli/scripts.h"

namespace residua {
namespace {

double seconds_of(const timeval& time) { return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec); }

}  // namespace

Curves::Curves(std::string folder, std::chrono::seconds interval)
    : folder_(std::move(folder)), script_(script_path("plot-curves")), interval_(interval) {}

Curves::~Curves() {
  if (child_ != 0) {
    ::kill(child_, SIGTERM);
    finish();
  }
}

bool Curves::idle(int options) {
  rusage usage{};
  if (child_ != 0 && ::wait4(child_, nullptr, options, &usage) == child_) {
    last_seconds_ = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
    child_ = 0;
  }
  return child_ == 0;
}

void Curves::draw_in_background() {
  constexpr double kShare = 0.03;
  const auto now = std::chrono::steady_clock::now();
  const auto since = now - last_start_;
  if (!idle(WNOHANG) || since < interval_ || last_seconds_ > kShare * std::chrono::duration<double>(since).count()) {
    return;
  }
  last_start_ = now;
  child_ = start_program({"nice", "-n", "19", script_, folder_}, true);
}

void Curves::finish() { idle(0); }

void Curves::draw(RunObserver& observer) {
  finish();
  if (!run_program({script_, folder_})) {
    observer.note(fmt::format("curves were not drawn: run {} {}", script_, folder_));
  }
}

void write_report(const std::string& folder, RunObserver& observer) {
  const std::string script = script_path("report");
  if (!run_program({script, folder})) {
    observer.note(fmt::format("the report was not written: run {} {}", script, folder));
  }
}

}  // namespace residua
