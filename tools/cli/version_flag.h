#pragma once

#include <CLI/CLI.hpp>

namespace residua {

/// Adds --version, which prints the program's name, its version and the devices that it was built for, and stops.
void add_version_flag(CLI::App& app);

}  // namespace residua
