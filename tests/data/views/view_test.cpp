#include "core/data/views/view.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/base/error.h"
#include "core/config/settings.h"
#include "core/ops/prepare_input.h"
#include "tests/data/image_fixtures.h"

namespace residua::test {
namespace {

constexpr int kDraws = 2000;

template <class Check>
void for_draws(const std::string& policy, int64_t crop, ImageSize size, const Check& check) {
  const auto view = make_view(policy, crop);
  for (uint64_t i = 0; i < kDraws; ++i) {
    Random random(1, RandomPurpose::augmentation, 0, i);
    check(view->place(size, random, 0));
  }
}

TEST(Views, CenterScalesAndCutsTheCenter) {
  Random random(1, RandomPurpose::augmentation, 0, 0);
  const PlacedView wide = make_view("center", 224)->place({375, 500}, random, 0);
  EXPECT_EQ(wide.resize.domain, (Rect{0, 0, 375, 500}));
  EXPECT_EQ(wide.resize.resized, (ImageSize{256, 341}));    // torchvision: int(256 * 500 / 375)
  EXPECT_EQ(wide.resize.window, (Rect{16, 58, 224, 224}));  // round(58.5) to even
  const PlacedView tall = make_view("center", 224)->place({500, 375}, random, 0);
  EXPECT_EQ(tall.resize.resized, (ImageSize{341, 256}));
  const PlacedView same = make_view("center", 32)->place({32, 32}, random, 0);
  EXPECT_EQ(same.resize.resized, (ImageSize{32, 32}));
  EXPECT_EQ(same.resize.window, (Rect{0, 0, 32, 32}));
  EXPECT_EQ(same.view.flip, 0);
}

// Whatever the policy and the image, the window is a crop inside of the scaled image, and its source is inside of the image.
TEST(Views, EveryPlacedViewIsPossible) {
  for (const std::string& policy : Registry<ViewKind>::names()) {
    for (const int64_t crop : {1, 7, 32, 224}) {
      for (const ImageSize size : {ImageSize{1, 1}, {1, 900}, {700, 2}, {32, 32}, {31, 33}, {375, 500}}) {
        SCOPED_TRACE(fmt::format("{} to {} of {} x {}", policy, crop, size.height, size.width));
        const auto view = make_view(policy, crop);
        for (uint64_t i = 0; i < 50; ++i) {
          Random random(1, RandomPurpose::augmentation, 0, i);
          const PlacedView placed = view->place(size, random, 0);
          ASSERT_EQ(placed.resize.window.height, crop);
          ASSERT_EQ(placed.resize.window.width, crop);
          ASSERT_TRUE(contains(placed.resize.resized, placed.resize.window));
          ASSERT_TRUE(contains(size, placed.resize.domain));
          ASSERT_TRUE(contains(size, source_region(placed.resize)));
        }
      }
    }
  }
}

TEST(Views, RandomResizedCropCoversItsRanges) {
  double least_area = 1;
  double most_area = 0;
  double least_ratio = 9;
  double most_ratio = 0;
  double log_ratio = 0;
  int flips = 0;
  for_draws("random-resized-crop", 224, {1000, 1200}, [&](const PlacedView& p) {
    const double height = static_cast<double>(p.resize.domain.height);
    const double width = static_cast<double>(p.resize.domain.width);
    const double area = height * width / (1000.0 * 1200.0);
    least_area = std::min(least_area, area);
    most_area = std::max(most_area, area);
    least_ratio = std::min(least_ratio, width / height);
    most_ratio = std::max(most_ratio, width / height);
    log_ratio += std::log(width / height);
    flips += p.view.flip;
    ASSERT_EQ(p.resize.resized, (ImageSize{224, 224}));
    ASSERT_EQ(p.view.top, 0);
    ASSERT_EQ(p.view.left, 0);
  });
  EXPECT_NEAR(least_area, 0.08, 0.01);
  EXPECT_GT(most_area, 0.9);
  EXPECT_NEAR(least_ratio, 0.75, 0.02);
  EXPECT_NEAR(most_ratio, 4.0 / 3.0, 0.02);
  EXPECT_NEAR(log_ratio / kDraws, 0.0, 0.03);
  EXPECT_NEAR(flips, kDraws / 2, 115);
}

TEST(Views, RandomResizedCropFallsBackOnLongImages) {
  for_draws("random-resized-crop", 32, {10, 5000}, [&](const PlacedView& p) {
    ASSERT_LE(p.resize.domain.height, 10);
    ASSERT_LE(static_cast<double>(p.resize.domain.width), 4.0 / 3.0 * static_cast<double>(p.resize.domain.height) + 1);
  });
}

TEST(Views, ScaleCropCoversItsRange) {
  std::set<int64_t> shorter;
  std::set<int64_t> tops;
  for_draws("scale-crop", 224, {375, 500}, [&](const PlacedView& p) {
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
  for_draws("scale-crop", 112, {375, 500}, [&](const PlacedView& p) { shorter.insert(p.resize.resized.height); });
  EXPECT_EQ(*shorter.begin(), 128);
  EXPECT_EQ(*shorter.rbegin(), 240);
}

// The figures follow from the eigenvalues and eigenvectors: 25.5 * sqrt(sum over k of (eigenvalue_k * eigenvector_k[c])^2).
TEST(Views, ScaleCropShiftsTheColorsAlongImageNetsMainAxis) {
  std::array<double, 3> mean{}, variance{};
  double red_green = 0;
  for_draws("scale-crop", 224, {375, 500}, [&](const PlacedView& p) {
    for (size_t c = 0; c < 3; ++c) {
      mean[c] += p.view.color_shift[c] / kDraws;
      variance[c] += p.view.color_shift[c] * p.view.color_shift[c] / kDraws;
    }
    red_green += p.view.color_shift[0] * p.view.color_shift[1] / kDraws;
  });
  const std::array deviation = {3.166, 3.223, 3.255};
  for (size_t c = 0; c < 3; ++c) {
    EXPECT_NEAR(mean[c], 0.0, 0.25) << "channel " << c;
    EXPECT_NEAR(std::sqrt(variance[c]), deviation[c], 0.17) << "channel " << c;
  }
  EXPECT_NEAR(red_green / std::sqrt(variance[0] * variance[1]), 0.993, 0.002);
  for (const char* policy : {"none", "flip", "pad-crop", "random-resized-crop"}) {
    for_draws(policy, 32, {32, 32}, [&](const PlacedView& p) {
      ASSERT_TRUE(std::ranges::all_of(p.view.color_shift, [](float shift) { return shift == 0; })) << policy;
    });
  }
}

/// The view scale-crop with this color shift.
std::unique_ptr<const ViewPolicy> with_colors(const std::string& shift, const PrincipalColors& colors) {
  Kinds<ViewKind> kinds;
  Settings settings;
  kinds.declare(settings);
  settings.assign("color-shift", {shift}, Layer::file);
  EXPECT_EQ(kinds.at("augment", "scale-crop").measures_colors(), shift == "measured");
  return make_view(kinds, "scale-crop", {.crop_size = 32, .colors = colors});
}

TEST(Views, ScaleCropShiftsTheColorsAlongTheTrainingSetsAxes) {
  const PrincipalColors colors{{0.5, 0, 0}, {{{0.6, 0, 0.8}, {0, 1, 0}, {0.8, 0, -0.6}}}};
  const auto measured = with_colors("measured", colors);
  const auto imagenet = with_colors("imagenet", colors);
  const auto none = with_colors("none", colors);
  double squares = 0;
  for (uint64_t i = 0; i < kDraws; ++i) {
    const auto shift = [i](const ViewPolicy& view) {
      Random random(1, RandomPurpose::augmentation, 0, i);
      const PlacedView placed = view.place({40, 50}, random, 0);
      return std::to_array(placed.view.color_shift);
    };
    const std::array<float, 3> along = shift(*measured);
    ASSERT_NEAR(along[2], along[0] * 0.8 / 0.6, 1e-5 * (1 + std::fabs(along[2])));
    ASSERT_EQ(along[1], 0);
    squares += (along[0] * along[0] + along[2] * along[2]) / kDraws;
    ASSERT_NE(shift(*imagenet)[1], 0);
    ASSERT_EQ(shift(*none), (std::array<float, 3>{0, 0, 0}));
  }
  EXPECT_NEAR(std::sqrt(squares), 255 * 0.5 * 0.1, 0.6) << "N(0, 0.1) times the eigenvalue";
}

TEST(Views, PadCropMovesByUpToFourPixels) {
  std::set<std::pair<int32_t, int32_t>> offsets;
  int flips = 0;
  for_draws("pad-crop", 32, {32, 32}, [&](const PlacedView& p) {
    offsets.emplace(p.view.top, p.view.left);
    flips += p.view.flip;
    ASSERT_EQ(p.resize.window, (Rect{0, 0, 32, 32}));
    ASSERT_EQ(p.resize.resized, (ImageSize{32, 32}));
  });
  EXPECT_EQ(offsets.size(), 81u);
  EXPECT_EQ(*offsets.begin(), (std::pair<int32_t, int32_t>{-4, -4}));
  EXPECT_EQ(*offsets.rbegin(), (std::pair<int32_t, int32_t>{4, 4}));
  EXPECT_NEAR(flips, kDraws / 2, 115);
}

TEST(Views, FlipFlipsAndNoneDoesNot) {
  int flips = 0;
  for_draws("flip", 32, {32, 32}, [&](const PlacedView& p) { flips += p.view.flip; });
  EXPECT_NEAR(flips, kDraws / 2, 115);
  for_draws("none", 32, {32, 32}, [&](const PlacedView& p) { ASSERT_EQ(p.view.flip, 0); });
}

/// The weight of source pixel `in` for output pixel `out` along one axis: the triangle filter of PIL.
double weight(int64_t domain, int64_t resized, int64_t out, int64_t in) {
  const double step = static_cast<double>(domain) / static_cast<double>(resized);
  const double distance = static_cast<double>(in) + 0.5 - (static_cast<double>(out) + 0.5) * step;
  return std::max(0.0, 1.0 - std::fabs(distance) / std::max(step, 1.0));
}

/// One channel of the network's input at (h, w), straight from the whole image and the definition of a view, for a mean of 100
/// and a standard deviation of 1.
double reference(const Image& image, const PlacedView& placed, int64_t crop, int64_t h, int64_t w, int64_t c) {
  const Resize& r = placed.resize;
  const SampleView& view = placed.view;
  const int64_t row = h + view.top;
  const int64_t column = (view.flip != 0 ? crop - 1 - w : w) + view.left;
  if (row < 0 || row >= crop || column < 0 || column >= crop) {
    return 0;
  }
  double sum = 0;
  double weights = 0;
  for (int64_t i = 0; i < r.domain.height; ++i) {
    const double vertical = weight(r.domain.height, r.resized.height, row + r.window.top, i);
    for (int64_t j = 0; vertical > 0 && j < r.domain.width; ++j) {
      const double both = vertical * weight(r.domain.width, r.resized.width, column + r.window.left, j);
      sum += both * image.row(r.domain.top + i)[3 * (r.domain.left + j) + c];
      weights += both;
    }
  }
  return sum / weights + static_cast<double>(view.color_shift[c]) - 100;
}

// From the decoded region to the network's input: what scaling on the loader's threads and cutting on the device make together
// is what the view says, but for the bytes that the first rounds to.
TEST(Views, TheNetworksInputIsWhatTheViewSays) {
  constexpr int64_t kCrop = 12;
  const Image image = pattern_image(31, 43);
  const InputFormat format{.height = kCrop,
                           .width = kCrop,
                           .channels = 3,
                           .dtype = DType::f32,
                           .mean = full({3}, 100.0f, DType::f32),
                           .inverse_std = full({3}, 1.0f, DType::f32)};
  for (const std::string& policy : Registry<ViewKind>::names()) {
    const auto view = make_view(policy, kCrop);
    for (uint64_t draw = 0; draw < 12; ++draw) {
      Random random(7, RandomPurpose::augmentation, 0, draw);
      const PlacedView placed = view->place(image.size(), random, 0);
      const Rect rect = source_region(placed.resize);
      Image region;
      region.reset({rect.height, rect.width});
      for (int64_t y = 0; y < rect.height; ++y) {
        std::copy_n(image.row(rect.top + y) + 3 * rect.left, 3 * rect.width, region.row(y));
      }
      const Tensor window = empty({1, kCrop, kCrop, 3}, DType::u8, Device{});
      ResizeMemory memory;
      scale(placed.resize, region, window.data<uint8_t>(), memory);
      const std::vector<float> got = prepare_input(window, view_tensor({&placed.view, 1}), format).to_vector();
      for (int64_t e = 0; e < kCrop * kCrop * 3; ++e) {
        const double want = reference(image, placed, kCrop, e / 3 / kCrop, e / 3 % kCrop, e % 3);
        ASSERT_NEAR(got[static_cast<size_t>(e)], want, 0.501) << policy << ", draw " << draw << ", element " << e;
      }
    }
  }
}

TEST(Views, HaveTheirNames) {
  EXPECT_EQ(Registry<ViewKind>::names(),
            (std::vector<std::string>{"center", "flip", "none", "pad-crop", "random-resized-crop", "scale-crop"}));
}

TEST(Views, RefuseUnknownNamesAndSizes) {
  try {
    make_view("mixup", 32);
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_EQ(error.setting(), "augment");
    EXPECT_EQ(error.got(), "mixup");
    EXPECT_NE(error.wanted().find("random-resized-crop"), std::string::npos);
  }
  EXPECT_THROW(make_view("none", 0), UsageError);
  EXPECT_THROW(make_view("center", 5000), UsageError);
}

}  // namespace
}  // namespace residua::test
