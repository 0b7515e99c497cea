#include "core/data/augment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "core/base/error.h"
#include "core/ops/augment_input.h"
#include "tests/data/image_fixtures.h"

namespace residua::test {
namespace {

constexpr int kDraws = 2000;

template <class Check>
void for_draws(const std::string& policy, int64_t crop, ImageSize size, const Check& check) {
  const auto augmentation = make_augmentation(policy, crop);
  for (uint64_t i = 0; i < kDraws; ++i) {
    Random random(1, RandomPurpose::augmentation, 0, i);
    check(augmentation->place(size, random));
  }
}

TEST(Augmentation, EvaluationScalesAndCutsTheCenter) {
  Random random(1, RandomPurpose::augmentation, 0, 0);
  const Placement wide = make_evaluation(224)->place({375, 500}, random);
  EXPECT_EQ(wide.resize.domain, (Rect{0, 0, 375, 500}));
  EXPECT_EQ(wide.resize.resized, (ImageSize{256, 341}));    // torchvision: int(256 * 500 / 375)
  EXPECT_EQ(wide.resize.window, (Rect{16, 58, 224, 224}));  // round(58.5) to even
  const Placement tall = make_evaluation(224)->place({500, 375}, random);
  EXPECT_EQ(tall.resize.resized, (ImageSize{341, 256}));
  const Placement same = make_evaluation(32)->place({32, 32}, random);
  EXPECT_EQ(same.resize.resized, (ImageSize{32, 32}));
  EXPECT_EQ(same.resize.window, (Rect{0, 0, 32, 32}));
  EXPECT_FALSE(same.flip);
}

// Whatever the policy and the image, the window is a crop inside of the scaled image, and its source is inside of the image.
TEST(Augmentation, EveryPlacementIsPossible) {
  for (const std::string& policy : augmentation_names()) {
    for (const int64_t crop : {1, 7, 32, 224}) {
      for (const ImageSize size : {ImageSize{1, 1}, {1, 900}, {700, 2}, {32, 32}, {31, 33}, {375, 500}}) {
        SCOPED_TRACE(fmt::format("{} to {} of {} x {}", policy, crop, size.height, size.width));
        const auto augmentation = make_augmentation(policy, crop);
        for (uint64_t i = 0; i < 50; ++i) {
          Random random(1, RandomPurpose::augmentation, 0, i);
          const Placement placement = augmentation->place(size, random);
          ASSERT_EQ(placement.resize.window.height, crop);
          ASSERT_EQ(placement.resize.window.width, crop);
          ASSERT_TRUE(contains(placement.resize.resized, placement.resize.window));
          ASSERT_TRUE(contains(size, placement.resize.domain));
          ASSERT_TRUE(contains(size, source_region(placement.resize)));
        }
      }
    }
  }
}

TEST(Augmentation, RandomResizedCropCoversItsRanges) {
  double least_area = 1;
  double most_area = 0;
  double least_ratio = 9;
  double most_ratio = 0;
  double log_ratio = 0;
  int flips = 0;
  for_draws("random-resized-crop", 224, {1000, 1200}, [&](const Placement& p) {
    const double height = static_cast<double>(p.resize.domain.height);
    const double width = static_cast<double>(p.resize.domain.width);
    const double area = height * width / (1000.0 * 1200.0);
    least_area = std::min(least_area, area);
    most_area = std::max(most_area, area);
    least_ratio = std::min(least_ratio, width / height);
    most_ratio = std::max(most_ratio, width / height);
    log_ratio += std::log(width / height);
    flips += p.flip ? 1 : 0;
    ASSERT_EQ(p.resize.resized, (ImageSize{224, 224}));
    ASSERT_EQ(p.top, 0);
    ASSERT_EQ(p.left, 0);
  });
  EXPECT_NEAR(least_area, 0.08, 0.01);
  EXPECT_GT(most_area, 0.9);
  EXPECT_NEAR(least_ratio, 0.75, 0.02);
  EXPECT_NEAR(most_ratio, 4.0 / 3.0, 0.02);
  EXPECT_NEAR(log_ratio / kDraws, 0.0, 0.03);
  EXPECT_NEAR(flips, kDraws / 2, 115);
}

TEST(Augmentation, RandomResizedCropFallsBackOnLongImages) {
  for_draws("random-resized-crop", 32, {10, 5000}, [&](const Placement& p) {
    ASSERT_LE(p.resize.domain.height, 10);
    ASSERT_LE(static_cast<double>(p.resize.domain.width), 4.0 / 3.0 * static_cast<double>(p.resize.domain.height) + 1);
  });
}

TEST(Augmentation, ScaleCropCoversItsRange) {
  std::set<int64_t> shorter;
  std::set<int64_t> tops;
  for_draws("scale-crop", 224, {375, 500}, [&](const Placement& p) {
    ASSERT_EQ(p.resize.domain, (Rect{0, 0, 375, 500}));
    ASSERT_EQ(p.resize.resized.width, p.resize.resized.height * 500 / 375);
    shorter.insert(p.resize.resized.height);
    tops.insert(p.resize.window.top);
  });
  EXPECT_EQ(*shorter.begin(), 256);
  EXPECT_EQ(*shorter.rbegin(), 480);
  EXPECT_EQ(*tops.begin(), 0);
  EXPECT_GT(*tops.rbegin(), 220);
  shorter.clear();
  for_draws("scale-crop", 112, {375, 500}, [&](const Placement& p) { shorter.insert(p.resize.resized.height); });
  EXPECT_EQ(*shorter.begin(), 128);
  EXPECT_EQ(*shorter.rbegin(), 240);
}

// The figures follow from the eigenvalues and eigenvectors: 25.5 * sqrt(sum over k of (eigenvalue_k * eigenvector_k[c])^2).
TEST(Augmentation, ScaleCropShiftsTheColorsAlongImageNetsMainAxis) {
  std::array<double, 3> mean{}, variance{};
  double red_green = 0;
  for_draws("scale-crop", 224, {375, 500}, [&](const Placement& p) {
    for (size_t c = 0; c < 3; ++c) {
      mean[c] += p.color_shift[c] / kDraws;
      variance[c] += p.color_shift[c] * p.color_shift[c] / kDraws;
    }
    red_green += p.color_shift[0] * p.color_shift[1] / kDraws;
  });
  const std::array deviation = {3.166, 3.223, 3.255};
  for (size_t c = 0; c < 3; ++c) {
    EXPECT_NEAR(mean[c], 0.0, 0.25) << "channel " << c;
    EXPECT_NEAR(std::sqrt(variance[c]), deviation[c], 0.17) << "channel " << c;
  }
  EXPECT_NEAR(red_green / std::sqrt(variance[0] * variance[1]), 0.993, 0.002);
  for (const char* policy : {"none", "flip", "pad-crop", "random-resized-crop"}) {
    for_draws(policy, 32, {32, 32}, [&](const Placement& p) {
      ASSERT_TRUE(std::ranges::all_of(p.color_shift, [](float shift) { return shift == 0; })) << policy;
    });
  }
}

TEST(Augmentation, PadCropMovesByUpToFourPixels) {
  std::set<std::pair<int32_t, int32_t>> offsets;
  int flips = 0;
  for_draws("pad-crop", 32, {32, 32}, [&](const Placement& p) {
    offsets.emplace(p.top, p.left);
    flips += p.flip ? 1 : 0;
    ASSERT_EQ(p.resize.window, (Rect{0, 0, 32, 32}));
    ASSERT_EQ(p.resize.resized, (ImageSize{32, 32}));
  });
  EXPECT_EQ(offsets.size(), 81u);
  EXPECT_EQ(*offsets.begin(), (std::pair<int32_t, int32_t>{-4, -4}));
  EXPECT_EQ(*offsets.rbegin(), (std::pair<int32_t, int32_t>{4, 4}));
  EXPECT_NEAR(flips, kDraws / 2, 115);
}

TEST(Augmentation, FlipFlipsAndNoneDoesNot) {
  int flips = 0;
  for_draws("flip", 32, {32, 32}, [&](const Placement& p) { flips += p.flip ? 1 : 0; });
  EXPECT_NEAR(flips, kDraws / 2, 115);
  for_draws("none", 32, {32, 32}, [&](const Placement& p) { ASSERT_FALSE(p.flip); });
}

// Scaling on the loader's threads and then cutting on the device, or both on the device: the same but for the bytes that the
// first rounds to.
TEST(Augmentation, TheRouteThroughTheDeviceAgreesWithThatThroughTheLoader) {
  constexpr int64_t kCrop = 48;
  const Image image = test::pattern_image(95, 131);
  const InputFormat format{.height = kCrop,
                           .width = kCrop,
                           .channels = 4,
                           .dtype = DType::f32,
                           .mean = full({3}, 100.0f, DType::f32),
                           .inverse_std = full({3}, 1.0f, DType::f32)};
  for (const std::string& policy : augmentation_names()) {
    const auto augmentation = make_augmentation(policy, kCrop);
    for (uint64_t i = 0; i < 20; ++i) {
      Random random(7, RandomPurpose::augmentation, 0, i);
      const Placement placement = augmentation->place(image.size(), random);
      const Rect rect = source_region(placement.resize);
      Image region;
      region.reset({rect.height, rect.width});
      for (int64_t y = 0; y < rect.height; ++y) {
        std::copy_n(image.row(rect.top + y) + 3 * rect.left, 3 * rect.width, region.row(y));
      }

      const Tensor window = empty({1, kCrop, kCrop, 3}, DType::u8, Device{});
      scale(placement.resize, region, window.data<uint8_t>());
      const Tensor shift = from_values({1, 3}, placement.color_shift, DType::f32);
      const std::vector<float> want = prepare_input(window, full({1}, static_cast<float>(placement.top), DType::i32),
                                                    full({1}, static_cast<float>(placement.left), DType::i32),
                                                    full({1}, placement.flip ? 1.0f : 0.0f, DType::u8), shift, format)
                                          .to_vector();

      const Tensor source = empty({rect.height * rect.width * 3 + 5}, DType::u8, Device{});
      std::copy_n(region.pixels.data(), region.pixels.size(), source.data<uint8_t>() + 5);
      const Tensor images = empty({1, kAugmentImageFields}, DType::i64, Device{});
      const AugmentImage described = augment_image(placement, 5);
      std::memcpy(images.data(), &described, sizeof described);
      const std::vector<float> got = augment_input(source, images, shift, format).to_vector();
      ASSERT_EQ(got.size(), want.size());
      for (size_t e = 0; e < want.size(); ++e) {
        ASSERT_NEAR(got[e], want[e], 0.501) << policy << ", draw " << i << ", element " << e;
      }
    }
  }
}

TEST(Augmentation, RefusesUnknownNamesAndSizes) {
  try {
    make_augmentation("mixup", 32);
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("random-resized-crop"), std::string::npos);
  }
  EXPECT_THROW(make_augmentation("none", 0), UsageError);
  EXPECT_THROW(make_evaluation(5000), UsageError);
}

}  // namespace
}  // namespace residua::test
