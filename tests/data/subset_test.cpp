#include "core/data/subset.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/data/fake_source.h"

namespace residua::test {
namespace {

TEST(Subset, HasTheChosenImagesInTheirOrder) {
  const auto all = std::make_shared<const FakeSource>(FakeSource::Options{.images = 9});
  const Subset subset(all, {7, 2, 7});
  ASSERT_EQ(subset.size(), 3);
  EXPECT_EQ(subset.name(0), "fake 7");
  EXPECT_EQ(subset.label(1), 2);
  EXPECT_EQ(subset.load(1).pixels, all->load(2).pixels);
  EXPECT_EQ(subset.load(2).pixels, all->load(7).pixels);
  EXPECT_EQ(subset.class_names(), all->class_names());
  EXPECT_EQ(subset.fixed_size(), all->fixed_size());
}

TEST(Subset, RefusesIndicesThatThereAreNot) {
  const auto all = std::make_shared<const FakeSource>(FakeSource::Options{.images = 9});
  EXPECT_THROW(Subset(all, {}), UsageError);
  EXPECT_THROW(Subset(all, {0, 9}), UsageError);
  EXPECT_THROW(Subset(all, {-1}), UsageError);
}

}  // namespace
}  // namespace residua::test
