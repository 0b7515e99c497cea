#include "core/data/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>

#include "core/base/error.h"
#include "tests/data/image_fixtures.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

/// Images whose pixels are a function of their index; some of them fail to load.
class FakeSource final : public ImageSource {
 public:
  struct Options {
    int64_t images = 0;
    ImageSize size{8, 8};
    int64_t bad_every = 0;  // image 0, n, 2n, ... cannot be read
    int64_t thrower = -1;   // this image throws something that is not an Error
  };
  explicit FakeSource(Options options) : options_(options) {}

  int64_t size() const override { return options_.images; }
  const std::vector<std::string>& class_names() const override { return names_; }
  int32_t label(int64_t i) const override { return static_cast<int32_t>(i % 10); }
  std::string name(int64_t i) const override { return "fake " + std::to_string(i); }
  std::optional<ImageSize> fixed_size() const override { return options_.size; }
  void load(int64_t i, const RegionChooser& choose, Image& out) const override {
    ++loads_;
    if (i == options_.thrower) {
      throw std::runtime_error("disk on fire");
    }
    if (options_.bad_every > 0 && i % options_.bad_every == 0) {
      fail("{}: is bad", name(i));
    }
    const Rect region = choose(options_.size);
    out.reset({region.height, region.width});
    for (size_t p = 0; p < out.pixels.size(); ++p) {
      out.pixels[p] = static_cast<uint8_t>(i * 7 + static_cast<int64_t>(p) + region.top + region.left);
    }
  }
  int64_t loads() const { return loads_; }

 private:
  Options options_;
  std::vector<std::string> names_ = std::vector<std::string>(10, "class");
  mutable std::atomic<int64_t> loads_{0};
};

/// Everything that an epoch yields, in one string.
std::string contents(Loader& loader) {
  std::string all;
  const auto append = [&](const Tensor& tensor) {
    all.append(static_cast<const char*>(tensor.data()), static_cast<size_t>(tensor.bytes()));
  };
  while (const Batch* batch = loader.next()) {
    append(batch->images);
    append(batch->labels);
    append(batch->top);
    append(batch->left);
    append(batch->flip);
    append(batch->color_shift);
    all += fmt::format("{} {} {} {};", batch->first_index, batch->height, batch->width, batch->size());
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
  for (const std::string augmentation : {"", "pad-crop", "random-resized-crop", "scale-crop"}) {
    SCOPED_TRACE(augmentation);
    const auto source =
        std::make_shared<const FakeSource>(FakeSource::Options{.images = 83, .size = {20, 26}, .bad_every = 40});
    LoaderOptions options{
        .batch_size = 8, .crop_size = 12, .augmentation = augmentation, .shuffle = true, .seed = 4, .max_bad_images = 9};
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
  Loader loader(source, {.batch_size = 8, .crop_size = 8, .shuffle = true, .workers = 2});
  EXPECT_EQ(loader.batches(), 3);
  EXPECT_EQ(loader.samples(), 21);
  loader.start(0);
  std::vector<int64_t> seen;
  std::vector<int64_t> sizes;
  while (const Batch* batch = loader.next()) {
    EXPECT_EQ(batch->first_index, static_cast<int64_t>(seen.size()));
    EXPECT_EQ(batch->images.shape(), (Shape{batch->size(), 8, 8, 3}));
    sizes.push_back(batch->size());
    for (size_t i = 0; i < batch->samples.size(); ++i) {
      const int64_t sample = batch->samples[i];
      seen.push_back(sample);
      EXPECT_EQ(batch->labels.span<int32_t>()[i], sample % 10);
      EXPECT_EQ(batch->images.span<uint8_t>()[i * 192 + 5], static_cast<uint8_t>(sample * 7 + 5));
      EXPECT_EQ(batch->top.span<int32_t>()[i], 0);
      EXPECT_EQ(batch->flip.span<uint8_t>()[i], 0);
    }
  }
  EXPECT_EQ(loader.next(), nullptr);
  EXPECT_EQ(sizes, (std::vector<int64_t>{8, 8, 5}));
  std::sort(seen.begin(), seen.end());
  for (int64_t i = 0; i < 21; ++i) {
    EXPECT_EQ(seen[static_cast<size_t>(i)], i);
  }
}

// The raw image of a CIFAR-like source goes out as it is; pad-crop is left to the device.
TEST(Loader, LeavesPadCropToTheDevice) {
  const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = 64});
  Loader loader(source, {.batch_size = 64, .crop_size = 8, .augmentation = "pad-crop"});
  loader.start(3);
  const Batch* batch = loader.next();
  ASSERT_NE(batch, nullptr);
  bool moved = false;
  bool flipped = false;
  for (size_t i = 0; i < 64; ++i) {
    EXPECT_EQ(batch->images.span<uint8_t>()[i * 192], static_cast<uint8_t>(i * 7));
    EXPECT_LE(std::abs(batch->top.span<int32_t>()[i]), 4);
    moved |= batch->top.span<int32_t>()[i] != 0 || batch->left.span<int32_t>()[i] != 0;
    flipped |= batch->flip.span<uint8_t>()[i] == 1;
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

TEST(Loader, RanksShareTheEpoch) {
  const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = 21});
  std::vector<int64_t> seen;
  for (int64_t rank = 0; rank < 2; ++rank) {
    Loader loader(source, {.batch_size = 4, .crop_size = 8, .shuffle = true, .workers = 1, .rank = rank, .world = 2});
    loader.start(0);
    while (const Batch* batch = loader.next()) {
      seen.insert(seen.end(), batch->samples.begin(), batch->samples.end());
    }
  }
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(seen.size(), 21u);
  EXPECT_EQ(std::unique(seen.begin(), seen.end()), seen.end());
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

TEST(Loader, TooManyBadImagesEndTheEpochWithTheirNames) {
  const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = 100, .bad_every = 2});
  for (const int64_t workers : {0, 3}) {
    Loader loader(source, {.batch_size = 10, .crop_size = 8, .workers = workers, .max_bad_images = 11});
    loader.start(0);
    EXPECT_THAT(failure(loader), AllOf(HasSubstr("12 images cannot be read, and at most 11 may be skipped"),
                                       HasSubstr("fake 0: is bad"), HasSubstr("and 2 more")));
    EXPECT_THROW(loader.next(), Error) << "it stays failed";
    EXPECT_LT(source->loads(), 100) << "and it stops working";
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
      .batch_size = 8, .crop_size = 32, .augmentation = "random-resized-crop", .shuffle = true, .workers = 4};
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

TEST(Loader, PrefetchIsBounded) {
  const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = 1000});
  Loader loader(source, {.batch_size = 10, .crop_size = 8, .workers = 4, .prefetch = 2});
  loader.start(0);
  for (int64_t taken = 1; taken <= 20; ++taken) {
    ASSERT_NE(loader.next(), nullptr);
    EXPECT_LE(source->loads(), (taken + 2) * 10) << "the lent batch and two more";
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
  EXPECT_THROW(Loader(source, {.batch_size = 4, .crop_size = 8, .augmentation = "mixup"}), UsageError);
  EXPECT_THROW(Loader(source, {.batch_size = 4, .crop_size = 8, .workers = -1}), UsageError);
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
  const test::TemporaryFolder folder;
  for (const char* name : {"a", "b"}) {
    for (int i = 0; i < 6; ++i) {
      std::filesystem::create_directories(folder / ("train/" + std::string(name)));
      test::write_bytes(folder / fmt::format("train/{}/{}.jpg", name, i),
                        test::encode_jpeg(test::photo_image(90 + i, 120 - i, static_cast<uint64_t>(i))));
    }
  }
  test::write_bytes(folder / "train/b/broken.jpg", "\xff\xd8\xff\xe0 broken");
  const auto source = open_source("imagefolder", folder.path(), Split::train);
  ASSERT_EQ(source->size(), 13);
  for (const std::string policy : {"random-resized-crop", "scale-crop"}) {
    SCOPED_TRACE(policy);
    Loader loader(source,
                  {.batch_size = 13, .crop_size = 32, .augmentation = policy, .seed = 2, .workers = 2, .max_bad_images = 1});
    loader.start(1);
    const Batch* batch = loader.next();
    ASSERT_NE(batch, nullptr);
    EXPECT_EQ(batch->labels.span<int32_t>()[12], -1);
    EXPECT_THAT(loader.errors().summary(), AllOf(HasSubstr("train/b/broken.jpg"), Not(HasSubstr("train/a"))));
    const auto augmentation = make_augmentation(policy, 32);
    for (int64_t i = 0; i < 12; ++i) {
      Random random(2, RandomPurpose::augmentation, 1, static_cast<uint64_t>(i));
      const Image full = source->load(i);
      const Placement placement = augmentation->place(full.size(), random);
      const Rect part = source_region(placement.resize);
      Image region;
      region.reset({part.height, part.width});
      for (int64_t y = 0; y < part.height; ++y) {
        std::copy_n(full.row(part.top + y) + 3 * part.left, 3 * part.width, region.row(y));
      }
      std::vector<uint8_t> wanted(32 * 32 * 3);
      scale(placement.resize, region, wanted.data());
      EXPECT_TRUE(std::equal(wanted.begin(), wanted.end(), batch->images.span<uint8_t>().begin() + i * 32 * 32 * 3))
          << "image " << i;
      EXPECT_EQ(batch->flip.span<uint8_t>()[static_cast<size_t>(i)], placement.flip ? 1 : 0);
      EXPECT_TRUE(
          std::ranges::equal(batch->color_shift.span<float>().subspan(static_cast<size_t>(3 * i), 3), placement.color_shift));
    }
  }
}

}  // namespace
}  // namespace residua::test
