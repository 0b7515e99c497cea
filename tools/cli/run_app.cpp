#include "tools/cli/run_app.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "tools/cli/run_program.h"
#include "tools/cli/version_flag.h"

namespace residua {
namespace {

int run_app(CLI::App& app, int argc, const char* const* argv, const std::function<int()>& action, const std::string& prefix) {
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
  const auto worded = [&](const UsageError& error) {
    return fmt::format("{}: {}{}", app.get_name(), error.setting().empty() ? "" : "--", error.what());
  };
  return run_program(app.get_name(), parse_and_act, worded, prefix);
}

}  // namespace

int run_app(CLI::App& app, int argc, const char* const* argv, const std::function<int()>& action) {
  return run_app(app, argc, argv, action, "");
}

int run_app(CLI::App& app, int argc, const char* const* argv, Ranks& ranks, const std::function<int()>& action) {
  const int code = run_app(
      app, argc, argv, [&] { return ranks.run(action); }, ranks.prefix());
  ranks.end(code);
  return code;
}

}  // namespace residua
