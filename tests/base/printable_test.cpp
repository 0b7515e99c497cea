#include "core/base/printable.h"

#include <gtest/gtest.h>

#include "core/base/warning.h"

namespace residua::test {
namespace {

const std::string kName("a\0b\x1b[2J\n\x7f", 9);

TEST(Printable, TextStaysAsItIs) {
  EXPECT_EQ(printable("Grüße,\n\tall"), "Grüße,\n\tall");
  EXPECT_EQ(printable_line("Grüße"), "Grüße");
  EXPECT_EQ(printable(""), "");
}

TEST(Printable, ControlCharactersAreShownAsCodes) {
  EXPECT_EQ(printable(kName), "a\\x00b\\x1b[2J\n\\x7f");
  EXPECT_EQ(printable_line(kName), "a\\x00b\\x1b[2J\\x0a\\x7f");
}

TEST(Printable, WarningsAreWhole) {
  std::string warning;
  set_warning_sink([&](const std::string& text) { warning = text; });
  warn("name {} end", kName);
  set_warning_sink({});
  EXPECT_EQ(warning, "name a\\x00b\\x1b[2J\n\\x7f end");
}

}  // namespace
}  // namespace residua::test
