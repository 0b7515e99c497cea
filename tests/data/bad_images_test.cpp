// A training image that cannot be read is replaced by another, and nobody can tell from a set that holds the other in its
// place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <ranges>
#include <set>

#include "core/data/loader.h"
#include "core/ops/prepare_input.h"
#include "tests/data/fake_source.h"
#include "tests/data/image_fixtures.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int64_t kImages = 23;
constexpr uint64_t kSeed = 6;

LoaderOptions training(int64_t workers, const std::string& view = "random-resized-crop") {
  return {.batch_size = 5,
          .crop_size = 12,
          .view = make_view(view, 12),
          .shuffle = true,
          .seed = kSeed,
          .workers = workers,
          .bad_images = BadImages::replace,
          .max_bad_images = kImages,
          .max_bad_share = 1.0};
}

/// All that the rows of an epoch hold, in one string.
std::string epoch(Loader& loader, int64_t number) {
  std::string all;
  const auto append = [&](const Tensor& tensor) {
    all.append(static_cast<const char*>(tensor.data()), static_cast<size_t>(tensor.bytes()));
  };
  loader.start(number);
  while (const Batch* batch = loader.next()) {
    append(batch->images);
    append(batch->labels);
    append(batch->views);
  }
  return all;
}

std::vector<int64_t> order_of(int64_t number) {
  return Sampler({.size = kImages, .seed = kSeed, .shuffle = true}).order(number);
}

/// Of each bad image, the next one in the order that is not bad: by a walk of its own.
std::map<int64_t, int64_t> substitutes(const std::vector<int64_t>& order, const std::vector<int64_t>& bad) {
  std::map<int64_t, int64_t> result;
  const std::set<int64_t> set(bad.begin(), bad.end());
  for (size_t place = 0; place < order.size(); ++place) {
    if (set.contains(order[place])) {
      size_t other = place;
      while (set.contains(order[other])) {
        other = other + 1 == order.size() ? 0 : other + 1;
      }
      result[order[place]] = order[other];
    }
  }
  return result;
}

std::string expected_epoch(int64_t number, const std::vector<int64_t>& bad, const std::string& view) {
  const auto sound = std::make_shared<const FakeSource>(
      FakeSource::Options{.images = kImages, .size = {20, 26}, .stands_for = substitutes(order_of(number), bad)});
  Loader loader(sound, training(0, view));
  return epoch(loader, number);
}

TEST(BadImages, AreReplacedByTheNextInTheEpochsOrder) {
  const std::vector<int64_t> order = order_of(1);
  const auto at = [&](std::initializer_list<size_t> places) {
    std::vector<int64_t> images;
    for (const size_t place : places) {
      images.push_back(order[place]);
    }
    return images;
  };
  const std::map<std::string, std::vector<int64_t>> cases = {{"none", {}},
                                                             {"first", at({0})},
                                                             {"last", at({kImages - 1})},
                                                             {"first and last", at({0, kImages - 1})},
                                                             {"several in a row", at({4, 5, 6, 7})},
                                                             {"in a row over the end", at({21, 22, 0, 1})},
                                                             {"apart", at({3, 9, 17})},
                                                             {"all but one", [&] {
                                                                std::vector<int64_t> images = order;
                                                                images.erase(images.begin() + 8);
                                                                return images;
                                                              }()}};
  for (const auto& [name, bad] : cases) {
    for (const std::string view : {"pad-crop", "random-resized-crop", "scale-crop"}) {
      const std::string wanted = expected_epoch(1, bad, view);
      for (const int64_t workers : {0, 1, 4}) {
        SCOPED_TRACE(fmt::format("{}, {}, {} workers", name, view, workers));
        const auto source =
            std::make_shared<const FakeSource>(FakeSource::Options{.images = kImages, .size = {20, 26}, .bad = bad});
        Loader loader(source, training(workers, view));
        EXPECT_TRUE(epoch(loader, 1) == wanted);
        EXPECT_EQ(loader.errors().count(), static_cast<int64_t>(bad.size()));
        EXPECT_EQ(loader.errors().take_new().size(), bad.size()) << "each is named once";
      }
    }
  }
}

// What has gone wrong before, in another epoch or on the way to the middle of this one, changes nothing.
TEST(BadImages, AreReplacedAlikeWhateverWasReadBefore) {
  const std::vector<int64_t> bad = {1, 2, 8, 9, 14, 20};
  const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = kImages, .size = {20, 26}, .bad = bad});
  for (const int64_t workers : {0, 1, 4}) {
    Loader loader(source, training(workers));
    for (const int64_t number : {0, 1, 0, 2}) {
      EXPECT_TRUE(epoch(loader, number) == expected_epoch(number, bad, "random-resized-crop")) << number;
    }
    loader.start(1);
    loader.next();
    loader.next();
    const Batch* third = loader.next();
    const std::vector<float> images = third->images.to_vector();
    Loader fresh(source, training(workers));
    fresh.start(1, 2);
    EXPECT_EQ(fresh.next()->images.to_vector(), images);
    EXPECT_EQ(loader.errors().count(), 6) << "the same image in several epochs counts once";
  }
}

// Two bad images in a row: the second worker meets its own before or after the first one has come past it.
TEST(BadImages, AreReplacedAlikeWhicheverWorkerIsFirst) {
  const std::vector<int64_t> order = order_of(0);
  const std::vector<int64_t> bad = {order[3], order[4]};  // of two jobs
  const std::string wanted = expected_epoch(0, bad, "random-resized-crop");
  for (const bool forwards : {true, false}) {
    const int64_t early = forwards ? bad[0] : bad[1];
    const int64_t late = forwards ? bad[1] : bad[0];
    std::mutex mutex;
    std::condition_variable changed;
    int64_t early_reads = 0;
    const auto on_read = [&](int64_t image) {
      std::unique_lock lock(mutex);
      early_reads += image == early ? 1 : 0;
      changed.notify_all();
      if (image == late) {
        changed.wait(lock, [&] { return early_reads > 0; });
      }
    };
    const auto source = std::make_shared<const FakeSource>(
        FakeSource::Options{.images = kImages, .size = {20, 26}, .bad = bad, .on_read = on_read});
    Loader loader(source, training(2));
    EXPECT_TRUE(epoch(loader, 0) == wanted) << forwards;
  }
}

TEST(BadImages, AreNotReadAgainForEachPlaceBeforeThem) {
  std::vector<int64_t> bad(kImages - 1);
  std::ranges::copy(std::views::iota(int64_t{0}, kImages - 1), bad.begin());
  const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = kImages, .size = {20, 26}, .bad = bad});
  Loader loader(source, training(0));
  epoch(loader, 0);
  for (int64_t i = 0; i + 1 < kImages; ++i) {
    EXPECT_LE(source->reads_of(i), 2) << "once where another looks for a substitute, once at its own place";
  }
}

// As from a network drive that was away for a while: an epoch does not depend on the one before it.
TEST(BadImages, AreTriedAgainInTheNextEpoch) {
  const std::vector<int64_t> order = order_of(0);
  std::atomic<bool> away = true;
  const auto on_read = [&](int64_t image) {
    if (away && image == order[6]) {
      fail("fake {}: is away", image);
    }
  };
  const auto source = std::make_shared<const FakeSource>(
      FakeSource::Options{.images = kImages, .size = {20, 26}, .bad = {order[5]}, .on_read = on_read});
  for (const int64_t workers : {0, 4}) {
    Loader loader(source, training(workers));
    away = true;
    EXPECT_TRUE(epoch(loader, 0) == expected_epoch(0, {order[5], order[6]}, "random-resized-crop"));
    away = false;
    EXPECT_TRUE(epoch(loader, 0) == expected_epoch(0, {order[5]}, "random-resized-crop"));
  }
}

TEST(BadImages, NoneThatCanBeReadIsAnErrorThatSaysSo) {
  const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = kImages, .bad_every = 1});
  for (const int64_t workers : {0, 3}) {
    Loader loader(source, training(workers));
    loader.start(0);
    try {
      loader.next();
      FAIL();
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), AllOf(HasSubstr("none of the 23 images can be read"), HasSubstr("fake 1: is bad")));
    }
  }
}

TEST(BadImages, AreStillLimited) {
  const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = kImages, .bad = {3, 4, 5}});
  LoaderOptions options = training(0);
  options.max_bad_images = 2;
  Loader loader(source, options);
  try {
    epoch(loader, 0);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("3 of 23 images cannot be read; wanted at most 2"));
  }
}

// The damage of this JPEG is in its last rows: a view of the first ones does not see it, but it stands in for no other image.
TEST(BadImages, AnImageDamagedInPartStandsInForNoOther) {
  const TemporaryFolder folder;
  std::vector<std::string> files;
  for (int i = 0; i < 3; ++i) {
    files.push_back(encode_jpeg(photo_image(400, 40, static_cast<uint64_t>(i))));
  }
  const auto open = [&] {
    for (const char* name : {"a", "b"}) {
      std::filesystem::create_directories(folder / ("train/" + std::string(name)));
    }
    write_bytes(folder / "train/a/0.jpg", "no image");
    write_bytes(folder / "train/a/1.jpg", files[1].substr(0, files[1].size() * 9 / 10));
    write_bytes(folder / "train/b/2.jpg", files[2]);
    return open_source("imagefolder", folder.path(), Split::train);
  };
  /// The first rows alone, which 1.jpg still has.
  class Top final : public ViewPolicy {
   public:
    PlacedView place(ImageSize, Random&, int64_t) const override { return {.resize = {{0, 0, 8, 8}, {8, 8}, {0, 0, 8, 8}}}; }
  };
  for (const int64_t workers : {0, 2}) {
    const auto source = open();
    Loader loader(source, {.batch_size = 3,
                           .crop_size = 8,
                           .view = std::make_shared<Top>(),
                           .workers = workers,
                           .bad_images = BadImages::replace,
                           .max_bad_images = 3,
                           .max_bad_share = 1});
    loader.start(0);
    const Batch* batch = loader.next();
    ASSERT_NE(batch, nullptr);
    EXPECT_THAT(std::vector<int32_t>(batch->labels.span<int32_t>().begin(), batch->labels.span<int32_t>().end()),
                ::testing::ElementsAre(1, 0, 1));
    const std::span<uint8_t> pixels = batch->images.span<uint8_t>();
    EXPECT_TRUE(std::equal(pixels.begin(), pixels.begin() + 192, pixels.begin() + 2 * 192));
    EXPECT_FALSE(std::equal(pixels.begin(), pixels.begin() + 192, pixels.begin() + 192));
    EXPECT_EQ(loader.errors().count(), 2);
  }
}

TEST(BadImages, OfAnEvaluationDoNotCount) {
  const auto source = std::make_shared<const FakeSource>(FakeSource::Options{.images = 8, .bad = {0, 5}});
  for (const int64_t workers : {0, 1, 4}) {
    Loader loader(source, {.batch_size = 8, .crop_size = 8, .workers = workers, .max_bad_images = 2});
    loader.start(0);
    const Batch* batch = loader.next();
    ASSERT_NE(batch, nullptr);
    for (size_t i = 0; i < 8; ++i) {
      const bool bad = i == 0 || i == 5;
      EXPECT_EQ(batch->labels.span<int32_t>()[i], bad ? -1 : static_cast<int32_t>(i));
      EXPECT_EQ(batch->images.span<uint8_t>()[i * 192 + 7], bad ? 0 : FakeSource::pixel(static_cast<int64_t>(i), 7));
    }
    EXPECT_EQ(loader.errors().count(), 2);
  }
}

}  // namespace
}  // namespace residua::test
