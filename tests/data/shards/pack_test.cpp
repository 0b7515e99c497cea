#include "core/data/shards/pack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "core/base/error.h"
#include "core/data/codecs/decode.h"
#include "core/data/loader.h"
#include "core/data/shards/shard_index.h"
#include "core/data/source.h"
#include "tests/data/fake_source.h"
#include "tests/data/image_fixtures.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

const PackProgress kToTheEnd = [](int64_t) { return true; };

/// A folder of images of all formats and many sizes, two classes, train and val.
class Pack : public ::testing::Test {
 protected:
  static constexpr int kImages = 45;

  Pack() {
    for (int i = 0; i < kImages; ++i) {
      const Image image = photo_image(20 + i % 7, 18 + i % 11, static_cast<uint64_t>(i));
      const std::string folder = std::string(i % 9 == 0 ? "val" : "train") + (i % 3 == 0 ? "/dog/" : "/big cat/");
      fs::create_directories(photos_ / folder);
      const std::string name = folder + "n.0" + std::to_string(i);
      write_bytes(photos_ / name + (i % 5 == 4 ? ".PNG" : ".JPEG"), i % 5 == 0 ? encode_png(image) : encode_jpeg(image));
    }
    write_bytes(photos_ / "train/dog/broken.jpg", encode_jpeg(photo_image(30, 30, 5)).substr(0, 300));
  }

  std::shared_ptr<const ImageSource> photos(Split split = Split::train) {
    return open_source("imagefolder", photos_.path(), split);
  }
  std::shared_ptr<const ImageSource> shards(Split split = Split::train) { return open_source("auto", out_.path(), split); }
  PackResult pack_all(const PackOptions& options = {.workers = 2}) {
    return pack(*photos(), Split::train, out_.path(), options, kToTheEnd);
  }
  std::map<std::string, std::string> files() {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(out_.path())) {
      files[entry.path().filename().string()] = read_bytes(entry.path().string());
    }
    return files;
  }

  TemporaryFolder photos_;
  TemporaryFolder out_;
};

/// Every batch of two epochs, in one string.
std::string batches(const std::shared_ptr<const ImageSource>& source, int64_t workers) {
  Loader loader(source, {.batch_size = 7,
                         .crop_size = 12,
                         .view = make_view("random-resized-crop", 12),
                         .shuffle = true,
                         .seed = 3,
                         .workers = workers,
                         .bad_images = BadImages::replace,
                         .max_bad_images = 1});
  std::string all;
  const auto append = [&](const Tensor& tensor) {
    all.append(static_cast<const char*>(tensor.data()), static_cast<size_t>(tensor.bytes()));
  };
  for (const int64_t epoch : {0, 1}) {
    loader.start(epoch);
    while (const Batch* batch = loader.next()) {
      append(batch->images);
      append(batch->labels);
      append(batch->views);
    }
  }
  EXPECT_EQ(loader.errors().count(), source->size() > 10 ? 1 : 0);
  return all;
}

TEST_F(Pack, GivesTheBatchesOfTheFolder) {
  const PackResult result = pack_all();
  EXPECT_TRUE(result.complete);
  EXPECT_EQ(result.images, photos()->size());
  EXPECT_EQ(result.shards, 1);
  EXPECT_EQ(result.bytes, fs::file_size(out_ / "train-000000.tar"));
  EXPECT_TRUE(pack(*photos(Split::val), Split::val, out_.path(), {.workers = 0}, kToTheEnd).complete);
  for (const Split split : {Split::train, Split::val}) {
    const auto folder = photos(split);
    const auto packed = shards(split);
    EXPECT_EQ(packed->class_names(), folder->class_names());
    ASSERT_EQ(packed->size(), folder->size());
    for (int64_t i = 0; i < folder->size(); ++i) {
      EncodedImage a;
      EncodedImage b;
      folder->read(i, a);
      packed->read(i, b);
      EXPECT_TRUE(std::ranges::equal(a.bytes, b.bytes)) << i;
      EXPECT_EQ(packed->label(i), folder->label(i)) << i;
      EXPECT_TRUE(packed->name(i).ends_with(image_format(b.bytes) == ImageFormat::png ? ".png" : ".jpg")) << packed->name(i);
    }
    const std::string expected = batches(folder, 0);
    EXPECT_TRUE(batches(packed, 0) == expected);
    EXPECT_TRUE(batches(packed, 3) == expected);
  }
}

TEST_F(Pack, KeepsPixelsAndTheCommonSizeOfRawImages) {
  const FakeSource raw({.images = 23, .size = {6, 5}});
  pack(raw, Split::train, out_.path(), {.workers = 0}, kToTheEnd);
  const auto packed = shards();
  EXPECT_EQ(packed->fixed_size(), (ImageSize{6, 5}));
  ASSERT_EQ(packed->size(), 23);
  for (int64_t i = 0; i < 23; ++i) {
    EXPECT_EQ(packed->load(i).pixels, raw.load(i).pixels);
    EXPECT_EQ(packed->label(i), i % 10);
  }
}

TEST_F(Pack, WritesTheSameBytesWhateverTheWorkers) {
  pack_all({.shorter_side = 19, .shard_mib = 1, .workers = 0});
  const auto first = files();
  EXPECT_EQ(first.size(), 3U);
  for (const auto& [name, bytes] : first) {
    fs::remove(out_ / name);
  }
  pack_all({.shorter_side = 19, .shard_mib = 1, .workers = 3});
  EXPECT_TRUE(files() == first);
}

TEST_F(Pack, ScalesLargeImagesAlone) {
  const PackResult result = pack_all({.shorter_side = 20, .quality = 95, .workers = 2});
  const auto folder = photos();
  const auto packed = shards();
  int64_t scaled = 0;
  ASSERT_EQ(packed->size(), folder->size());
  for (int64_t i = 0; i < folder->size(); ++i) {
    EncodedImage before;
    EncodedImage after;
    folder->read(i, before);
    packed->read(i, after);
    if (folder->name(i).ends_with("broken.jpg")) {
      EXPECT_TRUE(std::ranges::equal(before.bytes, after.bytes));
      continue;
    }
    const Image original = folder->load(i);
    const Image image = packed->load(i);
    if (std::min(original.height, original.width) <= 20) {
      EXPECT_TRUE(std::ranges::equal(before.bytes, after.bytes)) << i;
    } else {
      ++scaled;
      EXPECT_EQ(std::min(image.height, image.width), 20) << i;
      EXPECT_EQ(image_format(after.bytes), ImageFormat::jpeg);
    }
  }
  EXPECT_GT(scaled, 5);
  EXPECT_EQ(result.encoded, scaled);
  EXPECT_EQ(result.undecodable, 1);
}

double difference(const Image& a, const Image& b) {
  EXPECT_EQ(a.size(), b.size());
  double sum = 0;
  for (size_t i = 0; i < std::min(a.pixels.size(), b.pixels.size()); ++i) {
    sum += std::abs(a.pixels[i] - b.pixels[i]);
  }
  return sum / static_cast<double>(a.pixels.size());
}

/// Image i as viewers show it.
Image as_shown(const ImageSource& source, int64_t i) {
  EncodedImage encoded;
  Image image;
  source.read(i, encoded);
  decode(encoded, source.name(i), whole, image, {.orientation = Orientation::exif});
  return image;
}

// Photos that a camera has turned, above and below the limit.
TEST(PackOrientation, MeansTheSameAsInTheFolder) {
  const TemporaryFolder photos;
  for (const char* name : {"cat", "dog"}) {
    fs::create_directories(photos / ("train/" + std::string(name)));
    for (int orientation = 1; orientation <= 8; ++orientation) {
      write_bytes(photos / fmt::format("train/{}/{}.jpg", name, orientation),
                  with_orientation(encode_jpeg(photo_image(30, *name == 'c' ? 22 : 16, 9)), orientation));
    }
  }
  const auto folder = open_source("imagefolder", photos.path(), Split::train);
  const auto packed = [&](const TemporaryFolder& out, const PackOptions& options) {
    pack(*folder, Split::train, out.path(), options, kToTheEnd);
    return open_source("webdataset", out.path(), Split::train);
  };
  const TemporaryFolder kept_folder, turned_folder, only_turned_folder;
  const auto kept = packed(kept_folder, {.shorter_side = 20, .quality = 100, .workers = 1});
  const auto turned = packed(turned_folder, {.shorter_side = 20, .turns_by_exif = true, .quality = 100, .workers = 1});
  const auto only_turned = packed(only_turned_folder, {.turns_by_exif = true, .quality = 100, .workers = 1});
  ASSERT_EQ(kept->size(), 16);
  for (int64_t i = 0; i < 16; ++i) {
    SCOPED_TRACE(folder->name(i));
    Image wanted = as_shown(*folder, i);
    EXPECT_LT(difference(only_turned->load(i), wanted), 2);
    EXPECT_EQ(as_shown(*only_turned, i).pixels, only_turned->load(i).pixels) << "nothing turns twice";
    EXPECT_EQ(as_shown(*turned, i).pixels, turned->load(i).pixels);
    const ImageSize size = i < 8 ? with_shorter_side(wanted.size(), 20) : wanted.size();
    EXPECT_EQ(turned->load(i).size(), size);
    EXPECT_LT(difference(as_shown(*kept, i), as_shown(*turned, i)), 2);
  }
  EXPECT_EQ(kept->load(5).size(), (ImageSize{27, 20})) << "as stored";
  PackOptions other{.shorter_side = 20, .quality = 100, .workers = 1};
  EXPECT_THROW(pack(*folder, Split::train, turned_folder.path(), other, kToTheEnd), UsageError) << "another encoding";
}

/// 64 images of about 50 KB, so that a shard of 1 MiB holds about 20.
FakeSource large() { return FakeSource({.images = 64, .size = {128, 128}}); }

TEST_F(Pack, GoesOnAfterAStop) {
  const FakeSource source = large();
  const PackOptions options{.shard_mib = 1, .workers = 0};
  pack(source, Split::train, out_.path(), options, kToTheEnd);
  const auto expected = files();
  ASSERT_EQ(expected.size(), 6U) << "four shards, the index and the classes";
  for (const int64_t stop : {0, 16, 32, 48}) {
    for (const auto& [name, bytes] : files()) {
      fs::remove(out_ / name);
    }
    const PackResult stopped = pack(source, Split::train, out_.path(), options, [stop](int64_t done) { return done < stop; });
    EXPECT_FALSE(stopped.complete);
    EXPECT_LE(stopped.images, stop);
    EXPECT_THROW(shards(), UsageError) << "half a data set must not pass for one";
    // What a killed process can leave: half a line, a file without its line, a temporary file.
    write_bytes(out_ / "train-index.jsonl", read_bytes(out_ / "train-index.jsonl") + "{\"shard\":\"tra");
    write_bytes(out_ / shard_name(Split::train, stopped.shards), "half a shard");
    write_bytes(out_ / ".train-000001.tar.77-0.tmp", "half a shard");
    const PackResult resumed = pack(source, Split::train, out_.path(), options, kToTheEnd);
    EXPECT_TRUE(resumed.complete);
    EXPECT_EQ(resumed.kept, stopped.images);
    EXPECT_TRUE(files() == expected) << stop;
  }
  const PackResult again = pack(source, Split::train, out_.path(), options, kToTheEnd);
  EXPECT_EQ(again.kept, 64);
  EXPECT_TRUE(files() == expected);
  // A shard that has been cut is packed again, with all after it.
  fs::resize_file(out_ / "train-000001.tar", 5000);
  EXPECT_LT(pack(source, Split::train, out_.path(), options, kToTheEnd).kept, 40);
  EXPECT_TRUE(files() == expected);
}

TEST_F(Pack, RefusesAFolderOfOtherShards) {
  const auto refusal = [&](const ImageSource& source, const PackOptions& options) -> std::string {
    try {
      pack(source, Split::train, out_.path(), options, kToTheEnd);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  };
  write_bytes(out_ / "train-000000.tar", "another program's");
  EXPECT_THAT(refusal(*photos(), {}), HasSubstr("holds shards without train-index.jsonl"));
  fs::remove(out_ / "train-000000.tar");
  EXPECT_EQ(refusal(*photos(), {.workers = 1}), "");
  const auto before = files();
  EXPECT_EQ(refusal(*photos(), {.workers = 2}), "") << "the same again";
  EXPECT_THAT(refusal(*photos(), {.shard_mib = 3}), HasSubstr("of other images or of other options"));
  EXPECT_THAT(refusal(*photos(), {.shorter_side = 20}), HasSubstr("of other images or of other options"));
  EXPECT_THAT(refusal(*photos(Split::val), {}), HasSubstr("of other images or of other options"));
  EXPECT_THAT(refusal(*shards(), {}), HasSubstr("of other images or of other options")) << "onto itself";
  EXPECT_TRUE(files() == before);
  fs::remove(out_ / "train-000000.tar");
  fs::remove(out_ / "train-index.jsonl");
  write_bytes(out_ / "classes.txt", "dog\nbig cat\n");
  EXPECT_THAT(refusal(*photos(), {}), HasSubstr("classes.txt' has other classes"));
}

TEST_F(Pack, StopsAtAnImageThatCannotBeRead) {
  const FakeSource source({.images = 30, .bad = {25}});
  EXPECT_THROW(pack(source, Split::train, out_.path(), {.workers = 2}, kToTheEnd), Error);
  EXPECT_FALSE(fs::exists(out_ / "train-000000.tar"));
  EXPECT_THROW(shards(), UsageError);
}

}  // namespace
}  // namespace residua::test
