#include "tests/support/own_setting.h"

namespace residua::test {
namespace {

std::vector<OwnSetting>& mutable_settings() {
  static std::vector<OwnSetting> all;
  return all;
}

}  // namespace

RegisterOwnSetting::RegisterOwnSetting(const OwnSetting& setting) { mutable_settings().push_back(setting); }

const std::vector<OwnSetting>& own_settings() { return mutable_settings(); }

}  // namespace residua::test
