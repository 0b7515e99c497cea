#include "core/data/statistics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/base/error.h"
#include "core/data/sources/memory_source.h"

namespace residua::test {
namespace {

/// Two images of 1 x 2 pixels.
MemorySource two_images() {
  return MemorySource({"made up", {1, 2}, {0, 10, 255, 4, 10, 255, 8, 10, 255, 20, 10, 255}, {0, 1}, {"a", "b"}});
}

TEST(Statistics, OfChannels) {
  const ChannelStatistics statistics = compute_channel_statistics(two_images(), 100);
  EXPECT_FLOAT_EQ(statistics.mean[0], 8.0f);
  EXPECT_FLOAT_EQ(statistics.std[0], std::sqrt((64.0f + 16.0f + 0.0f + 144.0f) / 4.0f));
  EXPECT_FLOAT_EQ(statistics.mean[2], 255.0f);
  EXPECT_FLOAT_EQ(statistics.std[2], 0.0f);
}

TEST(Statistics, OfPixels) {
  EXPECT_EQ(compute_pixel_mean(two_images(), 100), (std::vector<float>{4, 10, 255, 12, 10, 255}));
  EXPECT_EQ(compute_pixel_mean(two_images(), 1), (std::vector<float>{0, 10, 255, 4, 10, 255})) << "the cap keeps the first";
}

/// Of `images` images only the odd ones can be read, and they are 1 x 1 pixels of value 6.
class HalfBroken final : public ImageSource {
 public:
  explicit HalfBroken(int64_t images) : images_(images) {}
  int64_t size() const override { return images_; }
  const std::vector<std::string>& class_names() const override { return names_; }
  int32_t label(int64_t) const override { return 0; }
  std::string name(int64_t i) const override { return "image " + std::to_string(i); }
  std::optional<ImageSize> fixed_size() const override { return std::nullopt; }
  void read(int64_t i, EncodedImage& out) const override {
    if (i % 2 == 0) {
      fail("{}: broken", name(i));
    }
    out.storage = {6, 6, 6};
    out.set_rgb(out.storage, {1, 1});
  }

 private:
  int64_t images_;
  std::vector<std::string> names_{"only"};
};

TEST(Statistics, LeaveOutBadImages) {
  EXPECT_FLOAT_EQ(compute_channel_statistics(HalfBroken(10), 100).mean[1], 6.0f);
  EXPECT_THROW(compute_channel_statistics(HalfBroken(1), 100), Error);
  EXPECT_THROW(compute_pixel_mean(HalfBroken(10), 100), UsageError) << "sizes differ";
  EXPECT_THROW(compute_channel_statistics(HalfBroken(10), 0), UsageError);
}

}  // namespace
}  // namespace residua::test
