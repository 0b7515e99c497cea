#include "tools/cli/warnings.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

#include "core/base/warning.h"

namespace residua {

void show_warnings() {
  // Not through spdlog's registry: it is destroyed at exit while plans are still being saved.
  const auto logger = std::make_shared<spdlog::logger>("", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  set_warning_sink([logger](const std::string& text) { logger->warn(text); });
}

}  // namespace residua
