#include "core/io/cache_folder.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/support/environment.h"

namespace residua::test {
namespace {

TEST(CacheFolder, IsTheUsers) {
  const Environment cache("XDG_CACHE_HOME", "/caches");
  const Environment home("HOME", "/home/someone");
  EXPECT_EQ(cache_folder(), "/caches/residua");
  const Environment relative("XDG_CACHE_HOME", "not/absolute");
  EXPECT_EQ(cache_folder(), "/home/someone/.cache/residua");
  const Environment no_home("HOME", nullptr);
  EXPECT_EQ(cache_folder(), "");
}

}  // namespace
}  // namespace residua::test
