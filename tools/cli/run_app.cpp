#include "tools/cli/run_app.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "tools/cli/run_program.h"
#include "tools/cli/version_flag.h"

namespace residua {

int run_app(CLI::App& app, int argc, const char* const* argv, const std::function<int()>& action) {
  add_version_flag(app);
  const auto parse_and_act = [&] {
    try {
      app.parse(argc, argv);
    } catch (const CLI::Success& success) {
      return app.exit(success);  // --help, --version
    } catch (const CLI::ParseError& error) {
      fail_usage("{}; see {} --help", error.what(), app.get_name());
    }
    return action();
  };
  return run_program(app.get_name(), parse_and_act, [&](const UsageError& error) {
    return fmt::format("{}: {}{}", app.get_name(), error.setting().empty() ? "" : "--", error.what());
  });
}

}  // namespace residua
