#include "tools/cli/version_flag.h"

#include <fmt/format.h>

#include "core/base/version.h"
#include "core/device/built_with_cuda.h"

namespace residua {

void add_version_flag(CLI::App& app) {
  app.set_version_flag("--version", [&app] {
    return fmt::format("{} {} ({})", app.get_name(), version(), kBuiltWithCuda ? "CPU and CUDA devices" : "CPU device");
  });
}

}  // namespace residua
