#pragma once

#include <string>
#include <vector>

#include "core/config/settings.h"

namespace residua {

/// Reads a settings file: TOML, or the CLI11 format of earlier versions, which is not always valid TOML (lr=.1, lr=05,
/// output="C:\x"). Skips settings whose value is empty, "[]" or "{}": they were not set. Fails with UsageError, which names the
/// file and the line.
std::vector<Assignment> read_config_file(const std::string& path, const Settings& settings);

}  // namespace residua
