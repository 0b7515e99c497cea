#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/config/settings.h"

namespace residua {

/// Parses a TOML text without tables: keys with strings, numbers, true or false, or arrays of these. Each value becomes the
/// words that a user would type. Throws UsageError that names `origin` and the line.
std::vector<Assignment> parse_toml(std::string_view text, std::string_view origin);

}  // namespace residua
