#include "tools/cli/warnings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/warning.h"

namespace residua::test {
namespace {

TEST(ShowWarnings, PrintsThemOnStandardError) {
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  show_warnings();
  warn("{{}} is {}", "odd");
  set_warning_sink({});
  warn("not this one");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::EndsWith("[warning] {} is odd\n"));
}

}  // namespace
}  // namespace residua::test
