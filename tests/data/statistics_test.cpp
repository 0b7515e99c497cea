#include "core/data/statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/data/loader.h"
#include "core/data/sources/memory_source.h"
#include "tests/data/two_by_two.h"
#include "tests/support/compare.h"
#include "tests/support/thread_ranks.h"
#include "tests/support/warning_log.h"

namespace residua::test {
namespace {

using ::testing::ElementsAre;

TEST(Statistics, OfImagesOfTheInputsSize) {
  const ImageStatistics s = measure_images(two_by_two(ImageSize{2, 2}), 2, {});
  EXPECT_EQ(s.images, 2);
  EXPECT_EQ(s.size, 2);
  EXPECT_THAT(s.mean_image, ElementsAre(4, 10, 255, 12, 10, 255, 4, 10, 255, 8, 10, 255));
  EXPECT_FLOAT_EQ(s.channels.mean[0], 7.0f);
  EXPECT_FLOAT_EQ(s.channels.std[0], std::sqrt(39.0f));
  EXPECT_FLOAT_EQ(s.channels.mean[2], 255.0f);
  EXPECT_FLOAT_EQ(s.channels.std[2], 0.0f);
  EXPECT_NEAR(s.colors.eigenvalues[0], 39.0 / 65025, 1e-12) << "red alone varies";
  EXPECT_NEAR(s.colors.eigenvalues[1], 0, 1e-12);
  EXPECT_NEAR(s.colors.components[0][0], 1, 1e-9);
}

TEST(Statistics, OfOtherImagesCountTheirMirrorImages) {
  const ImageStatistics s = measure_images(two_by_two({}), 2, {});
  EXPECT_THAT(s.mean_image, ElementsAre(8, 10, 255, 8, 10, 255, 6, 10, 255, 6, 10, 255));
  EXPECT_FLOAT_EQ(s.channels.mean[0], 7.0f);
  EXPECT_FLOAT_EQ(s.channels.std[0], std::sqrt(39.0f));
}

TEST(Statistics, AreOfTheCenterViews) {
  // 64 x 32 pixels become 18 x 9; the center crop of 8 rows then reads rows 16 to 47.
  std::vector<uint8_t> pixels;
  for (int y = 0; y < 64; ++y) {
    const bool center = y >= 16 && y < 48;
    pixels.insert(pixels.end(), 32 * 3, center ? uint8_t{100} : uint8_t{200});
  }
  const auto tall =
      std::make_shared<MemorySource>(MemorySource::Contents{"made up", {64, 32}, std::move(pixels), {0}, {"a", "b"}});
  const ImageStatistics s = measure_images(tall, 8, {});
  EXPECT_FLOAT_EQ(s.channels.mean[0], 100.0f);
  EXPECT_FLOAT_EQ(s.channels.std[0], 0.0f);
}

TEST(Statistics, DoNotDependOnTheWorkers) {
  const auto source = many_two_by_two(1000);
  const ImageStatistics alone = measure_images(source, 2, {});
  int64_t done = 0;
  const ImageStatistics both = measure_images(source, 2, {.workers = 2}, [&](int64_t now, int64_t total) {
    EXPECT_GT(now, done);
    EXPECT_EQ(total, 1000);
    done = now;
  });
  EXPECT_EQ(done, 1000);
  EXPECT_EQ(both.images, 1000);
  EXPECT_EQ(both.mean_image, alone.mean_image);
  EXPECT_EQ(both.channels.std, alone.channels.std);
  EXPECT_EQ(both.colors, alone.colors);
}

void expect_same(const ImageStatistics& a, const ImageStatistics& b) {
  EXPECT_EQ(a.images, b.images);
  EXPECT_EQ(a.mean_image, b.mean_image);
  EXPECT_EQ(a.channels.mean, b.channels.mean);
  EXPECT_EQ(a.channels.std, b.channels.std);
  EXPECT_EQ(a.colors, b.colors);
}

// With 3 images, ranks have none; with 5000, they compare their progress more than once.
TEST(Statistics, OfSeveralRanksAreThoseOfOne) {
  for (const int images : {3, 100, 5000}) {
    const auto source = many_two_by_two(images);
    const ImageStatistics alone = measure_images(source, 2, {});
    for (const int64_t world : {2, 3, 5}) {
      source->reads = 0;
      run_ranks(world, [&](Communicator& ranks) {
        std::vector<int64_t> done;
        const MeasureProgress progress = [&](int64_t now, int64_t total) {
          EXPECT_EQ(total, images);
          EXPECT_EQ(largest(ranks, now), now) << "all call it together";
          done.push_back(now);
        };
        expect_same(measure_images(source, 2, {}, progress, &ranks), alone);
        ASSERT_FALSE(done.empty());
        EXPECT_EQ(done.back(), images);
        EXPECT_EQ(done.size() > 1, images > 1024 * world) << "1024 images of a rank at a time";
      });
      EXPECT_EQ(source->reads, images) << "each image is read by one rank";
    }
  }
}

TEST(Statistics, SeveralRanksNameTheirBadImagesTogether) {
  const auto source = std::make_shared<HalfBroken>(10);
  const ImageStatistics alone = measure_images(source, 1, {.max_bad_images = 5});
  const WarningLog warnings;
  run_ranks(3, [&](Communicator& ranks) {
    expect_same(measure_images(source, 1, {.max_bad_images = 5}, {}, &ranks), alone);
    // No rank has more than two.
    EXPECT_TRUE(fails_with([&] { measure_images(source, 1, {.max_bad_images = 4}, {}, &ranks); },
                           {"5 of 10 images cannot be read; wanted at most 4", "image 0", "image 2", "image 8"}));
    EXPECT_TRUE(fails_with(
        [&] { measure_images(std::make_shared<HalfBroken>(1), 1, {.max_bad_images = 5, .max_bad_share = 1}, {}, &ranks); },
        {"none of the 1 images to measure could be read", "image 0"}));
  });
  EXPECT_EQ(warnings.text(),
            "5 of the 10 images to measure could not be read and do not count:\n  image 0: broken\n  image 2: broken\n"
            "  image 4: broken\n  image 6: broken\n  image 8: broken\n\n")
      << "of one rank";
}

TEST(Statistics, LeaveOutBadImages) {
  const auto source = std::make_shared<HalfBroken>(10);
  const ImageStatistics s = measure_images(source, 1, {.max_bad_images = 5});
  EXPECT_EQ(s.images, 5);
  EXPECT_FLOAT_EQ(s.channels.mean[1], 6.0f);
  EXPECT_TRUE(fails_with([&] { measure_images(source, 1, {.max_bad_images = 4}); }, {"image 0"}));
  EXPECT_THROW(measure_images(std::make_shared<HalfBroken>(1), 1, {.max_bad_images = 5, .max_bad_share = 1}), Error);
}

TEST(Statistics, ChannelMeansOfAMeanImage) {
  EXPECT_THAT(channel_means({1, 2, 3, 5, 6, 7}), ElementsAre(3, 4, 5));
  EXPECT_THAT(channel_means({1, 2, 3}), ElementsAre(1, 2, 3));
}

}  // namespace
}  // namespace residua::test
