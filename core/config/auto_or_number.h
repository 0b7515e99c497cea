#pragma once

#include <cstdint>
#include <string>

#include "core/config/settings.h"

namespace residua {

/// What a setting is whose word is "auto".
inline constexpr int64_t kAuto = -1;

/// A setting that is "auto" or a whole number in a range.
Setting auto_or_number(const std::string& name, int64_t& value, Range range, const std::string& help);

}  // namespace residua
