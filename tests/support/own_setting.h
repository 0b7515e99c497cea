#pragma once

#include <string>
#include <vector>

#include "core/config/settings.h"

namespace residua::test {

/// A setting of a source, view, schedule, protocol or model family whose tests show that it reaches what it names, and two
/// values that it takes.
struct OwnSetting {
  std::string name;
  Words one, other;
};

/// A namespace-scope object of this type, beside those tests, counts the setting among the tested ones: every setting must be.
struct RegisterOwnSetting {
  explicit RegisterOwnSetting(const OwnSetting& setting);
};

const std::vector<OwnSetting>& own_settings();

}  // namespace residua::test
