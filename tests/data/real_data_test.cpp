#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "core/base/error.h"
#include "core/data/codecs/decode.h"
#include "core/data/loader.h"
#include "core/data/source.h"
#include "core/data/statistics.h"
#include "core/io/read_file.h"

namespace residua::test {
namespace {

namespace fs = std::filesystem;

/// $RESIDUA_DATA/<name>, or empty where it is not there.
fs::path data_folder(const char* name) {
  const char* root = std::getenv("RESIDUA_DATA");
  const fs::path folder = root == nullptr ? fs::path() : fs::path(root) / name;
  return fs::is_directory(folder) ? folder : fs::path();
}

std::string how_to_provide(const char* name) {
  return fmt::format("set the environment variable RESIDUA_DATA to a folder that holds {}/", name);
}

TEST(RealData, FashionMnist) {
  if (!fs::exists("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz")) {
    GTEST_SKIP() << "install Debian's package dataset-fashion-mnist";
  }
  const auto train = open_source("fashion-mnist", "", Split::train);
  const auto val = open_source("fashion-mnist", "", Split::val);
  EXPECT_EQ(train->size(), 60'000);
  EXPECT_EQ(val->size(), 10'000);
  EXPECT_EQ(train->class_names()[static_cast<size_t>(train->label(0))], "Ankle boot");
  // The published mean of the 28 x 28 images is 0.2860; the border dilutes it.
  EXPECT_NEAR(measure_images(train, 32, {.workers = 2}).channels.mean[0], 0.2860 * 255 * 784 / 1024, 0.05);
}

TEST(RealData, Cifar10) {
  const fs::path folder = data_folder("cifar-10-batches-bin");
  if (folder.empty()) {
    GTEST_SKIP() << how_to_provide("cifar-10-batches-bin");
  }
  const auto train = open_source("auto", folder, Split::train);
  EXPECT_EQ(train->size(), 50'000);
  EXPECT_EQ(open_source("auto", folder.parent_path(), Split::val)->size(), 10'000);
  EXPECT_EQ(train->class_names()[static_cast<size_t>(train->label(0))], "frog");
  // The published means of the training images: 0.4914, 0.4822, 0.4465; deviations 0.2470, 0.2435, 0.2616.
  const ChannelStatistics statistics = measure_images(train, 32, {.workers = 2}).channels;
  EXPECT_NEAR(statistics.mean[0], 0.4914 * 255, 0.05);
  EXPECT_NEAR(statistics.mean[1], 0.4822 * 255, 0.05);
  EXPECT_NEAR(statistics.mean[2], 0.4465 * 255, 0.05);
  EXPECT_NEAR(statistics.std[2], 0.2616 * 255, 0.05);
}

TEST(RealData, PhotosOfAnImageFolder) {
  const fs::path folder = data_folder("imagenette");
  if (folder.empty()) {
    GTEST_SKIP() << how_to_provide("imagenette");
  }
  const auto train = open_source("auto", folder, Split::train);
  EXPECT_EQ(train->class_names().size(), 10u);
  Loader loader(
      train,
      {.batch_size = 32, .crop_size = 128, .view = make_view("random-resized-crop", 128), .shuffle = true, .workers = 2});
  loader.start(0);
  int64_t images = 0;
  for (int i = 0; i < 20; ++i) {
    const Batch* batch = loader.next();
    ASSERT_NE(batch, nullptr);
    for (const int32_t label : batch->labels.span<int32_t>()) {
      ASSERT_GE(label, 0);
      ASSERT_LT(label, 10);
      ++images;
    }
  }
  EXPECT_EQ(images, 640);
  const ImageStatistics statistics = measure_images(train, 64, {.workers = 2});
  for (size_t c = 0; c < 3; ++c) {
    EXPECT_NEAR(statistics.channels.mean[c], kImageNetStatistics.mean[c], 15);
    EXPECT_NEAR(statistics.channels.std[c], kImageNetStatistics.std[c], 20);
    EXPECT_NEAR(statistics.colors.eigenvalues[c], kImageNetColors.eigenvalues[c], 0.3 * kImageNetColors.eigenvalues[c]);
    EXPECT_NEAR(statistics.colors.components[0][c], std::fabs(kImageNetColors.components[0][c]), 0.03) << "brightness";
  }
}

TEST(RealData, EveryPhotoDecodes) {
  const fs::path folder = data_folder("photos");
  if (folder.empty()) {
    GTEST_SKIP() << how_to_provide("photos");
  }
  int64_t photos = 0;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file() || entry.path().extension() == ".txt") {
      continue;
    }
    std::vector<uint8_t> bytes;
    read_file(entry.path(), bytes);
    const Image full = decode(bytes, entry.path().string());
    const Rect region{full.height / 3, full.width / 4, full.height / 2, full.width / 3};
    Image part;
    decode(
        bytes, entry.path().string(), [&](ImageSize) { return region; }, part);
    for (int64_t y = 0; y < region.height; ++y) {
      const uint8_t* wanted = full.row(region.top + y) + 3 * region.left;
      ASSERT_TRUE(std::equal(part.row(y), part.row(y) + 3 * region.width, wanted)) << entry.path() << " row " << y;
    }
    ++photos;
  }
  EXPECT_GT(photos, 0);
}

}  // namespace
}  // namespace residua::test
