#include "core/base/warning.h"

#include <mutex>
#include <utility>

#include "core/base/printable.h"

namespace residua {
namespace {

struct Warnings {
  std::mutex mutex;
  std::function<void(const std::string&)> sink;
};

/// Never destroyed, because the process may warn while it exits.
Warnings& warnings() {
  static auto* const instance = new Warnings;
  return *instance;
}

}  // namespace

void set_warning_sink(std::function<void(const std::string& text)> sink) {
  const std::lock_guard lock(warnings().mutex);
  warnings().sink = std::move(sink);
}

void warn_formatted(fmt::string_view format, fmt::format_args args) noexcept {
  try {
    const std::lock_guard lock(warnings().mutex);
    if (warnings().sink) {
      warnings().sink(printable(fmt::vformat(format, args)));
    }
  } catch (...) {  // NOLINT(bugprone-empty-catch): nobody else can be told
  }
}

}  // namespace residua
