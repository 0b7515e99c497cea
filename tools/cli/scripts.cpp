#include "tools/cli/scripts.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

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

}  // namespace

std::string script_path(const std::string& name) { return (tools_folder() / name).string(); }

pid_t start_program(std::vector<std::string> words, bool silent) {
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

bool run_program(const std::vector<std::string>& words) {
  const pid_t child = start_program(words, false);
  int status = 1;
  return child != 0 && waitpid(child, &status, 0) == child && status == 0;
}

}  // namespace residua
