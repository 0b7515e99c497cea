#include <gtest/gtest.h>

#include <vector>

#include "core/data/views/center.h"
#include "core/data/views/ten_crop.h"
#include "core/data/views/whole_image.h"

namespace residua::test {
namespace {

std::vector<PlacedView> views_of(const ViewPolicy& policy, ImageSize size) {
  Random random(1, RandomPurpose::augmentation, 0, 0);
  std::vector<PlacedView> views;
  for (int64_t k = 0; k < policy.count(); ++k) {
    views.push_back(policy.place(size, random, k));
  }
  return views;
}

// 375 x 500 pixels become 256 x 341. The corners of 224 pixels start at 0 or at 256 - 224 = 32 and 341 - 224 = 117, the center
// at 16 and at 58.5, which rounds to 58.
TEST(TenCrop, HasTheCornersAndTheCenterOfTheWholeImage) {
  const auto policy = make_ten_crop(224);
  EXPECT_EQ(policy->most_pixels(), 0);
  const std::vector<PlacedView> views = views_of(*policy, {375, 500});
  ASSERT_EQ(views.size(), 10U);
  const std::vector<std::pair<int64_t, int64_t>> corners = {{0, 0}, {0, 117}, {32, 0}, {32, 117}, {16, 58}};
  for (size_t k = 0; k < views.size(); ++k) {
    SCOPED_TRACE(k);
    const PlacedView& view = views[k];
    EXPECT_EQ(view.resize.domain, (Rect{0, 0, 375, 500}));
    EXPECT_EQ(view.resize.resized, (ImageSize{256, 341}));
    EXPECT_EQ(view.resize.window, (Rect{corners[k / 2].first, corners[k / 2].second, 224, 224}));
    EXPECT_EQ(view.view.flip, static_cast<int32_t>(k % 2));
    EXPECT_EQ(view.view.top, 0);
    EXPECT_EQ(view.view.left, 0);
  }
}

// 32 * 256 / 224 = 36.57.
TEST(TenCrop, IsInProportionForOtherInputs) {
  const std::vector<PlacedView> views = views_of(*make_ten_crop(32), {32, 32});
  EXPECT_EQ(views[0].resize.resized, (ImageSize{36, 36}));
  EXPECT_EQ(views[6].resize.window, (Rect{4, 4, 32, 32}));
  EXPECT_EQ(views[8].resize.window, (Rect{2, 2, 32, 32}));
  EXPECT_EQ(views_of(*make_ten_crop(1), {1, 7})[6].resize.window, (Rect{0, 6, 1, 1}));
}

TEST(WholeImage, IsAllOfItAndItsMirrorImage) {
  const auto policy = make_whole_image(480);
  EXPECT_EQ(policy->most_pixels(), 480 * 480 * 4);
  const std::vector<PlacedView> views = views_of(*policy, {500, 375});
  ASSERT_EQ(views.size(), 2U);
  for (const PlacedView& view : views) {
    EXPECT_EQ(view.resize.domain, (Rect{0, 0, 500, 375}));
    EXPECT_EQ(view.resize.resized, (ImageSize{640, 480}));
    EXPECT_EQ(view.resize.window, (Rect{0, 0, 640, 480}));
  }
  EXPECT_EQ(views[0].view.flip, 0);
  EXPECT_EQ(views[1].view.flip, 1);
}

// 100 x 450 pixels become 50 x 225, of which 200 stay: from 12.5, which rounds to 12.
TEST(WholeImage, OfALongImageKeepsTheCenter) {
  const auto policy = make_whole_image(50);
  EXPECT_EQ(views_of(*policy, {100, 450})[0].resize.window, (Rect{0, 12, 50, 200}));
  EXPECT_EQ(views_of(*policy, {450, 100})[1].resize.window, (Rect{12, 0, 200, 50}));
  EXPECT_EQ(views_of(*policy, {100, 400})[0].resize.window, (Rect{0, 0, 50, 200}));
  const PlacedView thin = views_of(*policy, {1, 20000})[0];
  EXPECT_EQ(thin.resize.window, (Rect{0, 499900, 50, 200}));
  EXPECT_LE(source_region(thin.resize).width, 8) << "only the part that the window needs is decoded";
}

TEST(SizeOfViews, VariesWithTheImagesOnlyForWholeImages) {
  EXPECT_EQ(size_of_views(*make_ten_crop(224), 224, {}), (ImageSize{224, 224}));
  EXPECT_EQ(size_of_views(*make_whole_image(480), 480, {}), std::nullopt);
  EXPECT_EQ(size_of_views(*make_whole_image(480), 480, ImageSize{30, 40}), (ImageSize{480, 640}));
}

}  // namespace
}  // namespace residua::test
