#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "core/base/error.h"
#include "core/data/source.h"
#include "tests/data/image_fixtures.h"
#include "tests/data/shards/tar_fixtures.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

namespace fs = std::filesystem;

/// What a source holds, image by image, or the message of its refusal; unreadable images are counted.
struct Contents {
  std::vector<std::pair<int32_t, std::string>> images;
  int unreadable = 0;
  std::string refusal;
};

// Random bytes change: a refusal, a counted skip, or the same contents but for the bytes inside images.
TEST(TarShardsFuzz, RandomDamageIsNeverSilent) {
  const TemporaryFolder folder;
  const std::vector<std::string> photos = {encode_jpeg(photo_image(20, 24, 1)), encode_png(photo_image(9, 8, 2)),
                                           encode_jpeg(photo_image(12, 16, 3))};
  std::string good;
  for (size_t i = 0; i < photos.size(); ++i) {
    const std::string key = fmt::format("{}", i);
    good += member({.name = key + ".jpg", .bytes = photos[i]}) + member({.name = key + ".cls", .bytes = key});
  }
  write_bytes(folder / "classes.txt", "cat\ndog\nowl\n");
  const std::string tar = good + kEnd;
  std::mt19937_64 random(7);
  const auto read = [&] {
    Contents contents;
    try {
      const auto source = open_source("webdataset", folder.path(), Split::train);
      for (int64_t i = 0; i < source->size(); ++i) {
        EncodedImage image;
        try {
          source->read(i, image);
          contents.images.emplace_back(source->label(i), std::string(image.bytes.begin(), image.bytes.end()));
        } catch (const Error&) {
          ++contents.unreadable;
        }
      }
    } catch (const Error& error) {
      contents.refusal = error.what();
    }
    return contents;
  };
  for (const bool indexed : {false, true}) {
    write_bytes(folder / "train-000000.tar", tar);
    fs::remove(folder / "train-index.jsonl");
    open_source("webdataset", folder.path(), Split::train);
    const std::string index = read_bytes(folder / "train-index.jsonl");
    for (int round = 0; round < 400; ++round) {
      std::string damaged = tar;
      switch (random() % 4) {
        case 0: damaged.resize(random() % damaged.size()); break;
        case 1: damaged.replace(random() % damaged.size() / 512 * 512, 512, std::string(512, '\0')); break;
        default:
          for (uint64_t flips = 1 + random() % 3; flips > 0; --flips) {
            damaged[random() % damaged.size()] ^= static_cast<char>(1U << random() % 8);
          }
      }
      write_bytes(folder / "train-000000.tar", damaged);
      if (indexed) {
        write_bytes(folder / "train-index.jsonl", index);
      } else {
        fs::remove(folder / "train-index.jsonl");
      }
      const Contents contents = read();
      if (!contents.refusal.empty()) {
        continue;
      }
      ASSERT_EQ(contents.images.size() + static_cast<size_t>(contents.unreadable), 3U) << round;
      for (size_t i = 0; i < contents.images.size() && contents.unreadable == 0; ++i) {
        EXPECT_EQ(contents.images[i].second.size(), photos[i].size()) << round;
        EXPECT_TRUE(!indexed || contents.images[i].first == static_cast<int32_t>(i)) << round;
      }
    }
    // The index itself.
    for (int round = 0; round < 400 && indexed; ++round) {
      write_bytes(folder / "train-000000.tar", tar);
      std::string damaged = index;
      damaged[random() % damaged.size()] ^= static_cast<char>(1U << random() % 8);
      write_bytes(folder / "train-index.jsonl", damaged);
      const Contents contents = read();
      if (contents.refusal.empty()) {
        EXPECT_EQ(contents.images.size() + static_cast<size_t>(contents.unreadable), 3U) << round << damaged;
      }
    }
  }
}

}  // namespace
}  // namespace residua::test
