#include "core/data/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <sstream>
#include <thread>

#include "core/base/error.h"
#include "core/config/settings.h"
#include "core/ops/prepare_input.h"
#include "tests/data/fake_source.h"
#include "tests/data/image_fixtures.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

/// Everything that an epoch yields, in one string.
std::string contents(Loader& loader) {
  std::string all;
  const auto append = [&](const Tensor& tensor) {
    all.append(static_cast<const char*>(tensor.data()), static_cast<size_t>(tensor.bytes()));
  };
  while (const Batch* batch = loader.next()) {
    append(batch->images);
    append(batch->labels);
    append(batch->views);
    all += fmt::format("{} {} {};", batch->height, batch->width, batch->size());
    for (const int64_t sample : batch->samples) {
      all += fmt::format("{},", sample);
    }
  }
  return all;
}

std::string epoch(Loader& loader, int64_t number) {
  loader.start(number);
  return contents(loader);
}

std::string failure(Loader& loader) {
  try {
    contents(loader);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

TEST(Loader, WhatComesOutDoesNotDependOnTheWorkers) {
  for (const std::string view : {"center", "pad-crop", "random-resized-crop", "scale-crop"}) {
    SCOPED_TRACE(view);
    const auto source =
        std::make_shared<const FakeSource>(FakeSource::Options{.images = 83, .size = {20, 26}, .bad_every = 40});
    LoaderOptions options{
        .batch_size = 8, .crop_size = 12, .view = make_view(view, 12), .shuffle = true, .seed = 4, .max_bad_images = 9};
    Loader alone(source, options);
    const std::string first = epoch(alone, 0);
    const std::string second = epoch(alone, 1);
    EXPECT_NE(first, second);
    EXPECT_EQ(alone.errors().count(), 3);
    for (const int64_t workers : {1, 4}) {
      for (const int64_t prefetch : {1, 3}) {
        options.workers = workers;
        options.prefetch = prefetch;
        Loader threaded(source, options);
        EXPECT_TRUE(epoch(threaded, 0) == first);
        EXPECT_TRUE(epoch(threaded, 1) == second);
        EXPECT_TRUE(epoch(threaded, 0) == first) << "an epoch can be had again";
      }
    }
    options.seed = 5;
    Loader other(source, options);
    EXPECT_NE(epoch(other, 0), first);
  }
}

TEST(Loader, YieldsEverySampleOnceWithItsLabelAndPixels) {
  const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = 21});
  for (const int64_t workers : {0, 1, 4}) {
    Loader loader(source, {.batch_size = 8, .crop_size = 8, .shuffle = true, .workers = workers});
    EXPECT_EQ(loader.batches(), 3);
    EXPECT_EQ(loader.samples(), 21);
    loader.start(0);
    std::vector<int64_t> seen;
    std::vector<int64_t> sizes;
    while (const Batch* batch = loader.next()) {
      EXPECT_EQ(batch->images.shape(), (Shape{batch->size(), 8, 8, 3}));
      sizes.push_back(batch->size());
      for (size_t i = 0; i < batch->samples.size(); ++i) {
        const int64_t sample = batch->samples[i];
        seen.push_back(sample);
        EXPECT_EQ(batch->labels.span<int32_t>()[i], sample % 10);
        EXPECT_EQ(batch->images.span<uint8_t>()[i * 192 + 5], static_cast<uint8_t>(sample * 7 + 5));
        EXPECT_EQ(views_in(batch->views)[i].top, 0);
        EXPECT_EQ(views_in(batch->views)[i].flip, 0);
      }
    }
    EXPECT_EQ(loader.next(), nullptr);
    EXPECT_EQ(sizes, (std::vector<int64_t>{8, 8, 5}));
    std::sort(seen.begin(), seen.end());
    for (int64_t i = 0; i < 21; ++i) {
      EXPECT_EQ(seen[static_cast<size_t>(i)], i);
    }
  }
}

// The raw image of a CIFAR-like source goes out as it is; pad-crop is left to the device.
TEST(Loader, LeavesPadCropToTheDevice) {
  const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = 64});
  Loader loader(source, {.batch_size = 64, .crop_size = 8, .view = make_view("pad-crop", 8)});
  loader.start(3);
  const Batch* batch = loader.next();
  ASSERT_NE(batch, nullptr);
  bool moved = false;
  bool flipped = false;
  for (size_t i = 0; i < 64; ++i) {
    EXPECT_EQ(batch->images.span<uint8_t>()[i * 192], static_cast<uint8_t>(i * 7));
    const SampleView& view = views_in(batch->views)[i];
    EXPECT_LE(std::abs(view.top), 4);
    moved |= view.top != 0 || view.left != 0;
    flipped |= view.flip == 1;
  }
  EXPECT_TRUE(moved);
  EXPECT_TRUE(flipped);
}

TEST(Loader, DropsTheLastBatchWhenAsked) {
  const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = 21});
  Loader loader(source, {.batch_size = 8, .crop_size = 8, .drop_last = true});
  EXPECT_EQ(loader.batches(), 2);
  EXPECT_EQ(loader.samples(), 16);
  EXPECT_THROW(Loader(source, {.batch_size = 22, .crop_size = 8, .drop_last = true}), UsageError);
}

// One shape for all batches, so that a device meets no other.
TEST(Loader, PadsTheLastBatchWithRowsThatDoNotCount) {
  const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = 21});
  for (const int64_t workers : {0, 2}) {
    Loader loader(source,
                  {.batch_size = 8, .crop_size = 8, .view = make_view("pad-crop", 8), .pad_last = true, .workers = workers});
    EXPECT_EQ(loader.batches(), 3);
    EXPECT_EQ(loader.samples(), 21);
    loader.start(0);
    loader.next();
    loader.next();
    const Batch* batch = loader.next();
    ASSERT_NE(batch, nullptr);
    EXPECT_EQ(batch->size(), 5);
    ASSERT_EQ(batch->images.shape(), (Shape{8, 8, 8, 3}));
    for (size_t row = 0; row < 8; ++row) {
      const bool counts = row < 5;
      EXPECT_EQ(batch->labels.span<int32_t>()[row], counts ? static_cast<int32_t>((16 + row) % 10) : -1) << row;
      EXPECT_EQ(batch->images.span<uint8_t>()[row * 192 + 3],
                counts ? FakeSource::pixel(16 + static_cast<int64_t>(row), 3) : 0);
      if (!counts) {
        EXPECT_EQ(views_in(batch->views)[row].top, 0) << row;
        EXPECT_EQ(views_in(batch->views)[row].flip, 0) << row;
      }
    }
    EXPECT_EQ(loader.next(), nullptr);
  }
  Loader small(source, {.batch_size = 500, .crop_size = 8, .pad_last = true});
  small.start(0);
  EXPECT_EQ(small.next()->images.dim(0), 21) << "no more rows than there are images";
}

/// The image as it is and its mirror image, from a random row of it on.
class BothSides final : public ViewPolicy {
 public:
  int64_t count() const override { return 2; }
  PlacedView place(ImageSize size, Random& random, int64_t k) const override {
    const int64_t top = random.below(size.height - 4 + 1);
    const Rect part{top, k == 0 ? 0 : size.width - 4, 4, 4};
    return {.resize = {part, {4, 4}, {0, 0, 4, 4}},
            .view = {.top = 0, .left = 0, .flip = static_cast<int32_t>(k), .color_shift = {}}};
  }
};

TEST(Loader, MakesSeveralRowsOfASample) {
  const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = 10, .size = {9, 7}, .bad = {2}});
  for (const int64_t workers : {0, 3}) {
    Loader loader(source, {.batch_size = 4,
                           .crop_size = 4,
                           .view = std::make_shared<BothSides>(),
                           .pad_last = true,
                           .seed = 3,
                           .workers = workers,
                           .max_bad_images = 1});
    EXPECT_EQ(loader.views_per_sample(), 2);
    EXPECT_EQ(loader.batches(), 3);
    loader.start(0);
    int64_t next_sample = 0;
    std::set<int64_t> tops;
    while (const Batch* batch = loader.next()) {
      ASSERT_EQ(batch->images.shape(), (Shape{8, 4, 4, 3}));
      for (int64_t row = 0; row < 8; ++row, next_sample += row % 2 == 0 ? 1 : 0) {
        const bool counts = next_sample < 10 && next_sample != 2;
        const auto at = static_cast<size_t>(row);
        ASSERT_EQ(batch->labels.span<int32_t>()[at], counts ? next_sample % 10 : -1) << next_sample;
        if (!counts) {
          continue;
        }
        Random random(3, RandomPurpose::augmentation, 0, static_cast<uint64_t>(next_sample));
        int64_t top = random.below(6);
        top = row % 2 == 0 ? top : random.below(6);
        tops.insert(top);
        ASSERT_EQ(views_in(batch->views)[at].flip, row % 2);
        for (int64_t y = 0; y < 4; ++y) {
          for (int64_t x = 0; x < 12; ++x) {
            const int64_t from = ((top + y) * 7 + (row % 2 == 0 ? 0 : 3)) * 3 + x;
            ASSERT_EQ(batch->images.span<uint8_t>()[at * 48 + static_cast<size_t>(y * 12 + x)],
                      FakeSource::pixel(next_sample, static_cast<size_t>(from)));
          }
        }
      }
    }
    EXPECT_GT(tops.size(), 3u);
    EXPECT_EQ(source->reads_of(1), workers == 0 ? 1 : 2) << "an image is read once for all its views";
  }
}

TEST(Loader, TellsHowManyImagesAnEpochTrains) {
  const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = 21});
  EXPECT_EQ(Loader(source, {.batch_size = 8, .crop_size = 8, .drop_last = true}).samples(), 16);
  EXPECT_EQ(Loader(source, {.batch_size = 8, .crop_size = 8, .drop_last = false}).samples(), 21);
  EXPECT_EQ(Loader(source, {.batch_size = 30, .crop_size = 8}).samples(), 21);
}

TEST(Loader, DeclaresItsSettings) {
  LoaderOptions options;
  Settings settings;
  declare(settings, options);
  settings.assign("workers", {"7"}, Layer::command_line);
  settings.assign("max-bad-images", {"12"}, Layer::command_line);
  settings.assign("max-bad-share", {"0.25"}, Layer::command_line);
  EXPECT_EQ(options.workers, 7);
  EXPECT_EQ(options.max_bad_images, 12);
  EXPECT_EQ(options.max_bad_share, 0.25);
  EXPECT_THROW(settings.assign("max-bad-share", {"1.5"}, Layer::command_line), UsageError);
}

TEST(Loader, StartsInTheMiddleOfAnEpoch) {
  const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = 40});
  for (const int64_t workers : {0, 2}) {
    Loader loader(source, {.batch_size = 8, .crop_size = 8, .shuffle = true, .workers = workers});
    loader.start(0);
    loader.next();
    loader.next();
    const std::string rest = contents(loader);
    loader.start(0, 2);
    EXPECT_EQ(contents(loader), rest);
    loader.start(0, 5);
    EXPECT_EQ(loader.next(), nullptr);
  }
}

TEST(Loader, GoesOnWithTheNextEpoch) {
  const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = 21});
  Loader loader(source, {.batch_size = 8, .crop_size = 8, .shuffle = true});
  std::vector<std::vector<int64_t>> expected;
  for (const int64_t number : {4, 5}) {
    loader.start(number);
    while (const Batch* batch = loader.next()) {
      expected.emplace_back(batch->samples.begin(), batch->samples.end());
    }
  }
  loader.start(4);
  for (const std::vector<int64_t>& samples : expected) {
    EXPECT_TRUE(std::ranges::equal(loader.next_of_any_epoch().samples, samples));
  }
  loader.start(4, 3);
  EXPECT_TRUE(std::ranges::equal(loader.next_of_any_epoch().samples, expected[3])) << "an epoch that is at its end";
}

/// What one rank, or all together, sees of an epoch: the samples of each batch, their labels and their pixels.
struct Seen {
  std::vector<std::vector<int64_t>> samples;
  std::vector<int32_t> labels;
  std::vector<uint8_t> pixels;
};

/// The batches that ranks share, put together in the order of the ranks.
Seen seen_by(int64_t world, const FakeSource::Options& images) {
  const auto source = std::make_shared<const FakeSource>(images);
  const auto errors = std::make_shared<DataErrors>(100, 1.0, images.images);
  std::vector<std::unique_ptr<Loader>> loaders;
  for (int64_t rank = 0; rank < world; ++rank) {
    loaders.push_back(std::make_unique<Loader>(source, LoaderOptions{.batch_size = 6,
                                                                     .crop_size = 8,
                                                                     .shuffle = true,
                                                                     .workers = rank % 2,
                                                                     .bad_images = BadImages::replace,
                                                                     .max_bad_images = 100,
                                                                     .max_bad_share = 1.0,
                                                                     .rank = rank,
                                                                     .world = world}));
    loaders.back()->start(1);
  }
  Seen seen;
  for (int64_t number = 0; number < loaders.front()->batches(); ++number) {
    seen.samples.emplace_back();
    for (const auto& loader : loaders) {
      const Batch* part = loader->next();
      EXPECT_EQ(part->whole, std::min<int64_t>(6, images.images - 6 * number));
      seen.samples.back().insert(seen.samples.back().end(), part->samples.begin(), part->samples.end());
      const auto labels = part->labels.span<int32_t>();
      seen.labels.insert(seen.labels.end(), labels.begin(), labels.end());
      const auto pixels = part->images.span<uint8_t>();
      seen.pixels.insert(seen.pixels.end(), pixels.begin(), pixels.end());
    }
  }
  for (const auto& loader : loaders) {
    EXPECT_EQ(loader->next(), nullptr);
    EXPECT_EQ(loader->samples(), images.images);
  }
  return seen;
}

TEST(Loader, RanksShareEachBatch) {
  // Bad images are replaced by the next in the order of all ranks.
  for (const FakeSource::Options& images :
       {FakeSource::Options{.images = 22}, FakeSource::Options{.images = 22, .bad_every = 3}}) {
    const Seen alone = seen_by(1, images);
    for (const int64_t world : {2, 3, 4}) {
      const Seen together = seen_by(world, images);
      EXPECT_EQ(together.samples, alone.samples) << world;
      EXPECT_EQ(together.labels, alone.labels) << world;
      EXPECT_EQ(together.pixels, alone.pixels) << world;
    }
  }
}

TEST(Loader, KeepsABatchUntilTheNextIsAskedFor) {
  constexpr int64_t kImages = 400;
  constexpr int64_t kBatchSize = 4;
  const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = kImages});
  Loader loader(source, {.batch_size = kBatchSize, .crop_size = 8, .workers = 1, .prefetch = 1});
  loader.start(0);
  for (int64_t number = 1; const Batch* batch = loader.next(); ++number) {
    const auto pixels = batch->images.span<uint8_t>();
    const std::vector<uint8_t> lent(pixels.begin(), pixels.end());
    // The worker reads the one batch ahead that it may, and has time to go on if it should not.
    while (source->reads() < std::min(kImages, (number + 1) * kBatchSize)) {
      std::this_thread::yield();
    }
    for (int i = 0; i < 200; ++i) {
      std::this_thread::yield();
    }
    ASSERT_TRUE(std::ranges::equal(lent, pixels)) << number;
  }
}

TEST(Loader, RefusesABatchThatLeavesARankWithoutSamples) {
  const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = 22});
  EXPECT_THROW(Loader(source, {.batch_size = 20, .crop_size = 8, .rank = 1, .world = 3}), UsageError);
  EXPECT_NO_THROW(Loader(source, {.batch_size = 20, .crop_size = 8, .drop_last = true, .rank = 1, .world = 3}));
  EXPECT_THROW(Loader(source, {.batch_size = 20, .crop_size = 8, .rank = 3, .world = 3}), UsageError);
  EXPECT_THROW(Loader(source, {.batch_size = 20, .crop_size = 8, .rank = -1, .world = 3}), UsageError);
}

TEST(Loader, SkipsBadImagesWithinTheBudget) {
  const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = 20, .bad_every = 10});
  for (const int64_t workers : {0, 3}) {
    Loader loader(source, {.batch_size = 5, .crop_size = 8, .workers = workers, .max_bad_images = 2});
    for (int64_t number = 0; number < 2; ++number) {
      loader.start(number);
      const Batch* batch = loader.next();
      ASSERT_NE(batch, nullptr);
      EXPECT_EQ(batch->labels.span<int32_t>()[0], -1);
      EXPECT_EQ(batch->labels.span<int32_t>()[1], 1);
      EXPECT_EQ(batch->images.span<uint8_t>()[5], 0) << "a skipped image is black";
      EXPECT_EQ(failure(loader), "");
    }
    EXPECT_EQ(loader.errors().count(), 2) << "the same image in two epochs counts once";
    EXPECT_THAT(loader.errors().summary(), AllOf(HasSubstr("fake 0: is bad"), HasSubstr("fake 10: is bad")));
  }
}

/// The numbers of the images that a message calls bad, one for each line.
std::vector<int64_t> named_bad(const std::string& message) {
  std::vector<int64_t> images;
  std::istringstream lines(message);
  for (std::string line; std::getline(lines, line);) {
    const std::string begin = "  fake ";
    if (const size_t end = line.find(": is bad"); line.starts_with(begin) && end != std::string::npos) {
      images.push_back(std::stoll(line.substr(begin.size(), end - begin.size())));
    }
  }
  return images;
}

// Which of the bad images are among the first twelve depends on the workers.
TEST(Loader, TooManyBadImagesEndTheEpochWithTheirNames) {
  for (const int64_t workers : {0, 3}) {
    const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = 100, .bad_every = 2});
    Loader loader(source, {.batch_size = 10, .crop_size = 8, .workers = workers, .max_bad_images = 11});
    loader.start(0);
    const std::string message = failure(loader);
    EXPECT_THAT(message, AllOf(StartsWith("12 of 100 images cannot be read; wanted at most 11"), EndsWith("  and 2 more\n")));
    const std::vector<int64_t> named = named_bad(message);
    EXPECT_EQ(named.size(), 10u) << message;
    EXPECT_EQ(std::set(named.begin(), named.end()).size(), named.size()) << message;
    EXPECT_TRUE(std::ranges::all_of(named, [](int64_t image) { return image % 2 == 0 && image < 100; })) << message;
    EXPECT_THROW(loader.next(), Error) << "it stays failed";
    EXPECT_LT(source->reads(), 100) << "and it stops working";
  }
}

// A limit of 100 images is no limit for a set of 40.
TEST(Loader, TheLimitOfBadImagesIsAlsoAShare) {
  const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = 40, .bad_every = 4});
  for (const auto& [share, allowed] : {std::pair{0.25, true}, {0.24, false}}) {
    Loader loader(source, {.batch_size = 8, .crop_size = 8, .max_bad_images = 100, .max_bad_share = share});
    loader.start(0);
    const std::string message = failure(loader);
    if (allowed) {
      EXPECT_EQ(message, "");
    } else {
      EXPECT_THAT(message, HasSubstr("10 of 40 images cannot be read; wanted at most 9"));
    }
  }
}

TEST(Loader, OtherExceptionsReachTheCaller) {
  const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = 100, .thrower = 57});
  for (const int64_t workers : {0, 1, 4}) {
    Loader loader(source, {.batch_size = 10, .crop_size = 8, .workers = workers, .max_bad_images = 1000});
    loader.start(0);
    EXPECT_EQ(failure(loader), "disk on fire");
    EXPECT_THROW(loader.next(), std::runtime_error);
    loader.start(0, 6);
    EXPECT_EQ(failure(loader), "") << "start() begins anew, past the image";
  }
}

TEST(Loader, CanBeDestroyedAndRestartedAtAnyMoment) {
  const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = 200, .size = {64, 64}});
  const LoaderOptions options{
      .batch_size = 8, .crop_size = 32, .view = make_view("random-resized-crop", 32), .shuffle = true, .workers = 4};
  { Loader never_started(source, options); }
  for (int taken = 0; taken < 6; ++taken) {
    Loader loader(source, options);
    loader.start(0);
    for (int i = 0; i < taken; ++i) {
      loader.next();
    }
  }
  Loader loader(source, options);
  for (int64_t number = 0; number < 20; ++number) {
    loader.start(number);
    if (number % 2 == 0) {
      ASSERT_NE(loader.next(), nullptr);
    }
  }
  EXPECT_EQ(epoch(loader, 1).size(), epoch(loader, 2).size());
}

TEST(Loader, FindsTheNumberOfItsWorkers) {
  const auto most = static_cast<int64_t>(std::thread::hardware_concurrency());
  const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = 2000, .size = {256, 256}});
  const LoaderOptions options{.batch_size = 8, .crop_size = 64, .view = make_view("random-resized-crop", 64), .shuffle = true};
  LoaderOptions finding = options;
  finding.workers = kAutoWorkers;
  Loader loader(source, finding);
  EXPECT_EQ(loader.workers(), 1);
  // Nothing else is done between the batches, so all the time is waiting.
  for (int64_t number = 0; loader.workers() < most && number < 200; ++number) {
    loader.start(number);
    while (loader.workers() < most && loader.next() != nullptr) {
    }
  }
  EXPECT_EQ(loader.workers(), most);
  Loader alone(source, options);
  EXPECT_EQ(epoch(loader, 3), epoch(alone, 3)) << "whatever the number";
}

TEST(Loader, PrefetchIsBounded) {
  const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = 1000});
  Loader loader(source, {.batch_size = 10, .crop_size = 8, .workers = 4, .prefetch = 2});
  loader.start(0);
  for (int64_t taken = 1; taken <= 20; ++taken) {
    ASSERT_NE(loader.next(), nullptr);
    EXPECT_LE(source->reads(), (taken + 2) * 10) << "the lent batch and two more";
  }
}

TEST(Loader, MeasuresHowLongTheCallerWaits) {
  const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = 10});
  Loader loader(source, {.batch_size = 10, .crop_size = 8});
  EXPECT_EQ(loader.wait_seconds(), 0.0);
  epoch(loader, 0);
  EXPECT_GT(loader.wait_seconds(), 0.0);
}

TEST(Loader, RefusesNonsense) {
  const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = 10});
  EXPECT_THROW(Loader(source, {.batch_size = 0, .crop_size = 8}), UsageError);
  EXPECT_THROW(Loader(source, {.batch_size = 4, .crop_size = 0}), UsageError);
  EXPECT_THROW(Loader(source, {.batch_size = 4, .crop_size = 8, .max_bad_share = 1.5}), UsageError);
  EXPECT_THROW(Loader(source, {.batch_size = 4, .crop_size = 8, .max_bad_share = NAN}), UsageError);
  EXPECT_THROW(Loader(source, {.batch_size = 4, .crop_size = 8, .workers = -2}), UsageError);
  EXPECT_THROW(Loader(source, {.batch_size = 4, .crop_size = 8, .prefetch = 0}), UsageError);
  EXPECT_THROW(Loader(source, {.batch_size = 4, .crop_size = 8, .max_bad_images = -1}), UsageError);
  EXPECT_THROW(Loader(nullptr, {.batch_size = 4, .crop_size = 8}), UsageError);
  Loader loader(source, {.batch_size = 4, .crop_size = 8});
  EXPECT_THROW(loader.next(), Error) << "start() comes first";
  EXPECT_THROW(loader.start(-1), UsageError);
  EXPECT_THROW(loader.start(0, 4), UsageError);
}

// From files: what the workers decode is the region alone, and it is what decoding everything and then scaling gives.
TEST(Loader, ReadsAnImageFolder) {
  const TemporaryFolder folder;
  for (const char* name : {"a", "b"}) {
    for (int i = 0; i < 6; ++i) {
      std::filesystem::create_directories(folder / ("train/" + std::string(name)));
      write_bytes(folder / fmt::format("train/{}/{}.jpg", name, i),
                  encode_jpeg(photo_image(90 + i, 120 - i, static_cast<uint64_t>(i))));
    }
  }
  write_bytes(folder / "train/b/broken.jpg", "\xff\xd8\xff\xe0 broken");
  const auto source = open_source("imagefolder", folder.path(), Split::train);
  ASSERT_EQ(source->size(), 13);
  for (const std::string policy : {"random-resized-crop", "scale-crop"}) {
    SCOPED_TRACE(policy);
    Loader loader(
        source,
        {.batch_size = 13, .crop_size = 32, .view = make_view(policy, 32), .seed = 2, .workers = 2, .max_bad_images = 1});
    loader.start(1);
    const Batch* batch = loader.next();
    ASSERT_NE(batch, nullptr);
    EXPECT_EQ(batch->labels.span<int32_t>()[12], -1);
    EXPECT_THAT(loader.errors().summary(), AllOf(HasSubstr("train/b/broken.jpg"), Not(HasSubstr("train/a"))));
    const auto view = make_view(policy, 32);
    for (int64_t i = 0; i < 12; ++i) {
      Random random(2, RandomPurpose::augmentation, 1, static_cast<uint64_t>(i));
      const Image full = source->load(i);
      const PlacedView placed = view->place(full.size(), random, 0);
      const Rect part = source_region(placed.resize);
      Image region;
      region.reset({part.height, part.width});
      for (int64_t y = 0; y < part.height; ++y) {
        std::copy_n(full.row(part.top + y) + 3 * part.left, 3 * part.width, region.row(y));
      }
      std::vector<uint8_t> wanted(32 * 32 * 3);
      ResizeMemory memory;
      scale(placed.resize, region, wanted.data(), memory);
      EXPECT_TRUE(std::equal(wanted.begin(), wanted.end(), batch->images.span<uint8_t>().begin() + i * 32 * 32 * 3))
          << "image " << i;
      const SampleView& got = views_in(batch->views)[static_cast<size_t>(i)];
      EXPECT_EQ(got.flip, placed.view.flip);
      EXPECT_TRUE(std::ranges::equal(got.color_shift, placed.view.color_shift));
    }
  }
}

}  // namespace
}  // namespace residua::test
