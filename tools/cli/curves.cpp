#include "tools/cli/curves.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
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

}  // namespace

void draw_curves(const std::string& folder, RunObserver& observer) {
  const fs::path script = tools_folder() / "plot-curves";
  std::vector<std::string> words = {script.string(), folder};
  std::vector<char*> argv = {words[0].data(), words[1].data(), nullptr};
  pid_t child = 0;
  int status = 1;
  if (posix_spawn(&child, argv[0], nullptr, nullptr, argv.data(), environ) != 0 || waitpid(child, &status, 0) != child ||
      status != 0) {
    observer.note(fmt::format("curves were not drawn: run {} {}", script.string(), folder));
  }
}

}  // namespace residua
