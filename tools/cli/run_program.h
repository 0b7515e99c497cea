#pragma once

#include <functional>
#include <string>

#include "core/base/error.h"

namespace residua {

/// How a program words a wrong call.
using UsageWording = std::function<std::string(const UsageError& error)>;

/// What main() of every program does: opens the standard streams, shows warnings, and calls `action`. Returns the exit code:
/// that of the action, 2 for a UsageError, 1 for any other error. An error is a line on stderr; `worded` words a UsageError.
/// Where memory runs out, the line says how much was wanted and how much there is. Each line begins with `prefix`, which the
/// action may set.
int run_program(const std::string& program, const std::function<int()>& action, const UsageWording& worded,
                const std::string& prefix = "");

}  // namespace residua
