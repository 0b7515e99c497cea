#pragma once

#include <string>
#include <vector>

#include "core/config/settings.h"

namespace residua {

/// The lines of a file of settings: TOML, or what earlier versions wrote by CLI11, which TOML does not all allow (lr=.1, lr=05,
/// output="C:\x"). A value that is empty, "[]" or "{}" says that the setting was not set, and is left out. Fails with
/// UsageError, which names the file and the line.
std::vector<Assignment> read_config_file(const std::string& path, const Settings& settings);

}  // namespace residua
