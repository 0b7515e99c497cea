// The mean, the standard deviation and the colors that a run's settings ask for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "core/nn/state_dict.h"
#include "core/train/run_setup.h"
#include "tests/data/image_fixtures.h"
#include "tests/support/compare.h"
#include "tests/support/environment.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/layered_run.h"

namespace residua::test {
namespace {

using ::testing::ElementsAre;

constexpr int64_t kSize = 16;
constexpr int kImages = 6;

Image photo(int i) { return photo_image(kSize, kSize, static_cast<uint64_t>(i)); }

/// A folder of photos that are as large as the input, which the source does not know.
class MeasureInput : public testing::Test {
 protected:
  MeasureInput() : cache_("XDG_CACHE_HOME", folder_.path().c_str()) {
    for (int i = 0; i < kImages; ++i) {
      const std::string label = folder_ / (i % 2 == 0 ? "train/a" : "train/b");
      std::filesystem::create_directories(label);
      write_bytes(fmt::format("{}/{}.png", label, i), encode_png(photo(i)));
    }
    train_ = open_source("imagefolder", folder_.path(), Split::train);
  }

  InputDescription measured(const std::vector<Assignment>& settings, int64_t size = kSize) {
    LayeredRun run;
    run.settings.assign(settings, Layer::file, "the test");
    run.finish(true);
    InputDescription input{.size = size};
    passes_ = 0;
    measure_input(run.config, train_, input, [this](int64_t done, int64_t total) { passes_ += done == total ? 1 : 0; });
    return input;
  }

  /// The mean over images and mirror images.
  static std::vector<double> mirrored_mean() {
    std::vector<double> mean(kSize * kSize * 3);
    for (int i = 0; i < kImages; ++i) {
      const Image image = photo(i);
      for (int64_t p = 0; p < kSize * kSize * 3; ++p) {
        const int64_t x = p / 3 % kSize;
        const int64_t other = p + 3 * (kSize - 1 - 2 * x);
        mean[static_cast<size_t>(p)] +=
            (image.pixels[static_cast<size_t>(p)] + image.pixels[static_cast<size_t>(other)]) / (2.0 * kImages);
      }
    }
    return mean;
  }

  std::array<double, 3> channel_mean() const {
    std::array<double, 3> means{};
    const std::vector<double> image = mirrored_mean();
    for (size_t i = 0; i < image.size(); ++i) {
      means[i % 3] += image[i] / (kSize * kSize);
    }
    return means;
  }

  TemporaryFolder folder_;
  Environment cache_;
  std::shared_ptr<const ImageSource> train_;
  int passes_ = 0;
};

TEST_F(MeasureInput, PhotosLoseImageNetsMeanWithoutAPass) {
  const InputDescription input = measured({});
  EXPECT_THAT(input.mean, ElementsAre(123.675f, 116.28f, 103.53f));
  EXPECT_EQ(input.std, kImageNetStatistics.std);
  EXPECT_FALSE(input.colors);
  EXPECT_EQ(passes_, 0);
}

TEST_F(MeasureInput, PhotosLoseTheMeanImageOfAllCentersAndMirrorImages) {
  const InputDescription input = measured({{"mean", {"pixel"}}});
  EXPECT_TRUE(close(input.mean, mirrored_mean(), 1e-6));
  EXPECT_EQ(passes_, 1);
  EXPECT_EQ(measured({{"mean", {"pixel"}}}).mean, input.mean);
  EXPECT_EQ(passes_, 0) << "the first pass is kept";
  const InputDescription channels = measured({{"mean", {"channel"}}, {"std", {"1", "0.5", "0.25"}}});
  ASSERT_EQ(channels.mean.size(), 3U);
  for (size_t c = 0; c < 3; ++c) {
    EXPECT_NEAR(channels.mean[c], channel_mean()[c], 1e-4);
  }
  EXPECT_EQ(channels.std, (std::array<float, 3>{255, 127.5f, 63.75f}));
}

TEST_F(MeasureInput, ColorsAreMeasuredWhereTheyAreAskedFor) {
  const InputDescription input = measured({{"color-shift", {"measured"}}});
  EXPECT_THAT(input.mean, ElementsAre(123.675f, 116.28f, 103.53f)) << "the mean stays ImageNet's";
  ASSERT_TRUE(input.colors);
  double variance = 0;  // the trace of the covariance
  for (int i = 0; i < kImages; ++i) {
    const Image image = photo(i);
    for (size_t p = 0; p < image.pixels.size(); ++p) {
      variance += std::pow((image.pixels[p] - channel_mean()[p % 3]) / 255, 2) / (kImages * kSize * kSize);
    }
  }
  EXPECT_NEAR(input.colors->eigenvalues[0] + input.colors->eigenvalues[1] + input.colors->eigenvalues[2], variance, 1e-9);
  EXPECT_FALSE(measured({{"color-shift", {"measured"}}, {"augment", {"flip"}}}).colors) << "of a view that is not used";
}

TEST_F(MeasureInput, AMeanOfAFileIsScaledToNoOtherSize) {
  const std::vector<float> image = measured({{"mean", {"pixel"}}}).mean;
  const HostArray array = host_array<float>("input.mean", {kSize, kSize, 3}, image);
  save_safetensors(folder_ / "mean.safetensors", views({&array, 1}));
  EXPECT_EQ(measured({{"mean", {folder_ / "mean.safetensors"}}}).mean, image);
  const std::vector<float> means = measured({{"mean", {folder_ / "mean.safetensors"}}}, 32).mean;
  ASSERT_EQ(means.size(), 3U);
  EXPECT_NEAR(means[1], channel_mean()[1], 1e-4);
  EXPECT_TRUE(fails_with([&] { measured({{"mean", {"gone.safetensors"}}}); }, {"mean: got 'gone.safetensors', wanted pixel"}));
  save_safetensors(folder_ / "none.safetensors", {});
  EXPECT_TRUE(fails_with(
      [&] {
        measured({{"mean", {folder_ / "none.safetensors"}}});
      },
      {"mean", "none.safetensors", "the tensor input.mean"}));
}

}  // namespace
}  // namespace residua::test
