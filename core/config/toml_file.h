#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/config/settings.h"

namespace residua {

/// The lines of a TOML text without tables: keys with strings, numbers, true or false, or arrays of these. Words are the values
/// as a user would type them. Fails with UsageError, which names `origin` and the line.
std::vector<Assignment> parse_toml(std::string_view text, std::string_view origin);

}  // namespace residua
