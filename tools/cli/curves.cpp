#include "tools/cli/curves.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <utility>
#include <vector>

namespace residua {
namespace {

namespace fs = std::filesystem;

/// The folder of the scripts, found from the program's own: in an installation, in an archive of tools/bundle, or in the source
/// tree of the build. Returns the last one where no folder has them.
fs::path tools_folder() {
  std::error_code error;
  // Not /proc/self/exe: that is the loader where the archive's own one was started.
  // The kernel passes the address as a number.
  const auto* name = reinterpret_cast<const char*>(getauxval(AT_EXECFN));  // NOLINT(performance-no-int-to-ptr)
  const fs::path programs = fs::canonical(name, error).parent_path();
  fs::path folder;
  for (const char* place : {"../share/residua/tools", "../tools", RESIDUA_TOOLS_FROM_PROGRAMS}) {
    folder = (programs / place).lexically_normal();
    if (fs::exists(folder / "plot-curves", error)) {
      break;
    }
  }
  return folder;
}

double seconds_of(const timeval& time) { return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec); }

/// Starts a program. Returns 0 if the system cannot.
pid_t start(std::vector<std::string> words, bool silent) {
  std::vector<char*> argv;
  for (std::string& word : words) {
    argv.push_back(word.data());
  }
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  if (silent) {
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  }
  pid_t child = 0;
  const bool started = posix_spawnp(&child, argv[0], &files, nullptr, argv.data(), environ) == 0;
  posix_spawn_file_actions_destroy(&files);
  return started ? child : 0;
}

}  // namespace

Curves::Curves(std::string folder, std::chrono::seconds interval)
    : folder_(std::move(folder)), script_((tools_folder() / "plot-curves").string()), interval_(interval) {}

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
  child_ = start({"nice", "-n", "19", script_, folder_}, true);
}

void Curves::finish() { idle(0); }

void Curves::draw(RunObserver& observer) {
  finish();
  const pid_t child = start({script_, folder_}, false);
  int status = 1;
  if (child == 0 || waitpid(child, &status, 0) != child || status != 0) {
    observer.note(fmt::format("curves were not drawn: run {} {}", script_, folder_));
  }
}

}  // namespace residua
