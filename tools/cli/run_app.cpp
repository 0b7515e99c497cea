#include "tools/cli/run_app.h"

#include <fmt/format.h>

#include <iostream>

#include "core/base/error.h"
#include "tools/cli/version_flag.h"
#include "tools/cli/warnings.h"

namespace residua {

int run_app(CLI::App& app, int argc, const char* const* argv, const std::function<int()>& action) {
  show_warnings();
  add_version_flag(app);
  const auto tell = [&](const std::string& message) { std::cerr << app.get_name() << ": " << message << "\n"; };
  try {
    app.parse(argc, argv);
    return action();
  } catch (const CLI::Success& success) {
    return app.exit(success);  // --help, --version
  } catch (const CLI::ParseError& error) {
    tell(fmt::format("{}; see {} --help", error.what(), app.get_name()));
    return 2;
  } catch (const UsageError& error) {
    tell(fmt::format("{}{}", error.setting().empty() ? "" : "--", error.what()));
    return 2;
  } catch (const std::exception& error) {
    tell(error.what());
    return 1;
  }
}

}  // namespace residua
