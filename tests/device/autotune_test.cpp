#include "core/device/autotune.h"

#include <gtest/gtest.h>

#include <thread>

namespace residua::test {
namespace {

TEST(WithoutAutotune, HoldsInItsScopeAndThread) {
  EXPECT_TRUE(autotune_allowed());
  {
    const WithoutAutotune outer;
    EXPECT_FALSE(autotune_allowed());
    {
      const WithoutAutotune inner;
      EXPECT_FALSE(autotune_allowed());
    }
    EXPECT_FALSE(autotune_allowed());
    bool elsewhere = false;
    std::thread([&] { elsewhere = autotune_allowed(); }).join();
    EXPECT_TRUE(elsewhere);
  }
  EXPECT_TRUE(autotune_allowed());
}

}  // namespace
}  // namespace residua::test
