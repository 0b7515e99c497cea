#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "tools/cli/ranks.h"

namespace residua {

/// The main function of a tool with a command line of its own: shows warnings, adds --version, parses the command line and
/// calls `action`. Returns the exit code: that of the action, 2 for a usage error, 1 for another one, with a message on stderr.
int run_app(CLI::App& app, int argc, const char* const* argv, const std::function<int()>& action);
/// The same for a tool that runs as `ranks`, which the action connects: messages name the rank, and an error ends all ranks.
int run_app(CLI::App& app, int argc, const char* const* argv, Ranks& ranks, const std::function<int()>& action);

}  // namespace residua
