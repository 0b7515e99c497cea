#include "tools/cli/version_flag.h"

#include <fmt/format.h>

#include "core/base/version.h"
#include "core/device/built_with_cuda.h"

namespace residua {

void add_version_flag(CLI::App& app) {
  const auto text = [&app] {
    return fmt::format("{} {} ({})", app.get_name(), version(), kBuiltWithCuda ? "CPU and CUDA devices" : "CPU device");
  };
  app.set_version_flag("--version", text, "Print the version and exit");
}

}  // namespace residua
