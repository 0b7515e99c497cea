#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/data/loader.h"
#include "core/data/shards/pack.h"
#include "core/data/shards/shard_index.h"
#include "core/data/source.h"
#include "core/data/verify.h"
#include "core/data/views/whole_image.h"
#include "core/io/file_system.h"
#include "tests/data/image_fixtures.h"
#include "tests/data/shards/tar_fixtures.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/warning_log.h"

namespace residua::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string sample(const std::string& key, const std::string& image, const std::string& label) {
  return member({.name = key + ".jpg", .bytes = image}) + member({.name = key + ".cls", .bytes = label});
}

/// A folder of shards that another program wrote: no index.
class TarShards : public ::testing::Test {
 protected:
  TarShards() {
    write_bytes(folder_ / "classes.txt", "cat\ndog\nowl\n");
    photos_ = {encode_jpeg(photo_image(20, 24, 1)), encode_png(photo_image(9, 8, 2)), encode_jpeg(photo_image(12, 16, 3))};
    good_ = sample("a", photos_[0], "2") + sample("x/b", photos_[1], "0\n") + sample("c", photos_[2], "1");
  }

  void put(const std::string& tar, const std::string& file = "train-000000.tar") { write_bytes(folder_ / file, tar); }
  std::shared_ptr<const ImageSource> open(Split split = Split::train) { return open_source("auto", folder_.path(), split); }
  /// The message of the error that opening throws, or "". There is no index before or after.
  std::string failure(const std::string& tar) {
    put(tar);
    const std::string message = failure();
    fs::remove(folder_ / "train-index.jsonl");
    return message;
  }
  std::string failure() {
    try {
      open();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  TemporaryFolder folder_;
  std::vector<std::string> photos_;
  std::string good_;
  WarningLog warnings_;
};

TEST_F(TarShards, ReadsInPlaceAndKeepsAnIndex) {
  put(good_ + kEnd);
  put(member({.name = "d.cls", .bytes = "1"}) + member({.name = "d.json", .bytes = "{}"}) +
          member({.name = "d.png", .bytes = photos_[1]}) + kEnd,
      "train-000001.tar");
  for (const bool again : {false, true}) {
    const auto source = open();
    ASSERT_EQ(source->size(), 4);
    EXPECT_THAT(source->class_names(), ElementsAre("cat", "dog", "owl"));
    EXPECT_FALSE(source->fixed_size());
    EXPECT_THAT((std::vector<int32_t>{source->label(0), source->label(1), source->label(2), source->label(3)}),
                ElementsAre(2, 0, 1, 1));
    EXPECT_EQ(source->name(1), folder_ / "train-000000.tar/x/b.jpg");
    EXPECT_EQ(source->name(3), folder_ / "train-000001.tar/d.png");
    EncodedImage image;
    for (const auto& [i, photo] : std::vector<std::pair<int64_t, size_t>>{{0, 0}, {1, 1}, {2, 2}, {3, 1}, {0, 0}}) {
      source->read(i, image);
      EXPECT_EQ(std::string(image.bytes.begin(), image.bytes.end()), photos_[photo]) << i;
    }
    EXPECT_EQ(source->load(1).size(), (ImageSize{9, 8})) << "a PNG that is named .jpg";
    if (again) {
      EXPECT_THAT(source->notes(), ElementsAre());
    } else {
      EXPECT_THAT(source->notes(), ElementsAre(HasSubstr("train-index.jsonl: written for 2 shards"),
                                               HasSubstr("1 members of the shards are skipped")));
    }
  }
  EXPECT_THAT(warnings_.text(), HasSubstr("train-index.jsonl is missing: reading the 2 shards once"));
}

/// A file system that is mounted read-only.
class ReadOnly final : public FileSystem {
 public:
  int open(const std::string& path, int flags) override {
    if ((flags & O_ACCMODE) != O_RDONLY) {
      errno = EROFS;
      return -1;
    }
    return FileSystem::open(path, flags);
  }
};

TEST_F(TarShards, KeepsTheIndexInMemoryIfTheFolderIsReadOnly) {
  put(good_ + kEnd);
  ReadOnly read_only;
  const ScopedFileSystem scope(read_only);
  const auto source = open();
  EXPECT_THAT(source->notes(),
              ElementsAre(AllOf(HasSubstr("the index of 1 shards is in memory alone"), HasSubstr("Read-only"))));
  EXPECT_EQ(source->load(0).size(), (ImageSize{20, 24}));
  EXPECT_FALSE(fs::exists(folder_ / "train-index.jsonl"));
}

TEST_F(TarShards, RefusesADamagedShard) {
  EXPECT_EQ(failure(good_ + kEnd), "");
  EXPECT_THAT(failure(good_), AllOf(HasSubstr("train-000000.tar: damaged at byte"), HasSubstr("it has been cut")));
  EXPECT_THAT(failure((good_ + kEnd).substr(0, 700)), HasSubstr("member 'a.jpg' has"));
  EXPECT_THAT(failure(std::string(20480, '\0')), HasSubstr("damaged at byte 0"));
  EXPECT_THAT(failure(kEnd), HasSubstr("has no image; wanted samples of KEY.jpg and KEY.cls"));
  EXPECT_THAT(failure(sample("../a", photos_[0], "1") + kEnd), HasSubstr("'../a.jpg'"));
}

TEST_F(TarShards, RefusesASampleThatIsNotWhole) {
  const std::string image = member({.name = "k.jpg", .bytes = photos_[0]});
  const std::string label = member({.name = "k.cls", .bytes = "1"});
  EXPECT_THAT(failure(good_ + image + kEnd), HasSubstr("sample 'k' has no label; wanted k.cls"));
  EXPECT_THAT(failure(image + good_ + kEnd), HasSubstr("sample 'k' has no label"));
  EXPECT_THAT(failure(good_ + label + kEnd), HasSubstr("sample 'k' has no image; wanted k.jpg"));
  EXPECT_THAT(failure(good_ + sample("a", photos_[1], "1") + kEnd), HasSubstr("the key 'a' occurs twice"));
  EXPECT_THAT(failure(image + label + image + kEnd), HasSubstr("sample 'k' has two images"));
  EXPECT_THAT(failure(label + label + image + kEnd), HasSubstr("sample 'k' has two labels"));
  EXPECT_THAT(failure(image + member({.name = "k.png", .bytes = photos_[1]}) + label + kEnd),
              HasSubstr("two images, 'k.jpg' and 'k.png'"));
  for (const char* wrong : {"3", "-1", "", "1.0", "x", "0x1", "99999999999", "1 2", "1\n2"}) {
    EXPECT_THAT(failure(good_ + sample("k", photos_[0], wrong) + kEnd), HasSubstr("'k.cls' holds")) << wrong;
  }
  EXPECT_THAT(failure(good_ + sample("k", photos_[0], "3") + kEnd), HasSubstr("wanted a label from 0 to 2"));
  EXPECT_THAT(failure(good_ + sample("k\xff", photos_[0], "1") + kEnd), HasSubstr("not UTF-8"));
}

TEST_F(TarShards, RefusesAFolderThatIsNotWhole) {
  put(good_ + kEnd, "train-000001.tar");
  EXPECT_THAT(failure(), HasSubstr("has train-000001.tar, but not train-000000.tar"));
  put(good_ + kEnd);
  put(good_ + kEnd, "train-000003.tar");
  EXPECT_THAT(failure(), HasSubstr("has train-000003.tar, but not train-000002.tar"));
  fs::remove(folder_ / "train-000003.tar");
  EXPECT_EQ(open()->size(), 6);
  EXPECT_THROW(open(Split::val), UsageError);
  for (const char* text : {"cat\n\nowl\n", "\ncat\n"}) {
    write_bytes(folder_ / "classes.txt", text);
    EXPECT_THAT(failure(), HasSubstr("is empty; wanted the name of a class"));
  }
  write_bytes(folder_ / "classes.txt", "dog\ncat\nowl\n");
  EXPECT_THAT(failure(), HasSubstr("was made with another classes.txt"));
  fs::remove(folder_ / "classes.txt");
  EXPECT_THAT(failure(), HasSubstr("classes.txt' is missing"));
}

TEST_F(TarShards, ReadsShardsOfOtherNumbersOfDigits) {
  for (int i = 0; i < 12; ++i) {
    put(sample("k", photos_[0], i % 2 == 0 ? "1" : "2") + kEnd, "train-" + std::to_string(i) + ".tar");
  }
  const auto source = open();
  ASSERT_EQ(source->size(), 12);
  EXPECT_EQ(source->name(10), folder_ / "train-10.tar/k.jpg");
  EXPECT_EQ(source->label(10), 1);
}

TEST_F(TarShards, RefusesAnIndexOfOtherShards) {
  put(good_ + kEnd);
  put(sample("d", photos_[2], "1") + kEnd, "train-000001.tar");
  open();
  const std::string index = read_bytes(folder_ / "train-index.jsonl");
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = index;
    text.replace(text.find(from), from.size(), to);
    write_bytes(folder_ / "train-index.jsonl", text);
    return failure();
  };
  EXPECT_EQ(with("x", "x"), "");
  EXPECT_THAT(with("\"format\":1", "\"format\":2"), HasSubstr("the format is 2, wanted 1"));
  EXPECT_THAT(with("\"images\":4", "\"images\":5"), HasSubstr("lists 4 of 5 images: packing has stopped early"));
  EXPECT_THAT(with("[\"a.jpg\",512", "[\"a.jpg\",1024"), HasSubstr("a.jpg: is not at byte 1024 of the shard"));
  EXPECT_THAT(with("[\"a.jpg\",512", "[\"b.jpg\",512"), HasSubstr("is not at byte 512"));
  EXPECT_THAT(with("[\"a.jpg\",512", "[\"a.jpg\",513"), HasSubstr("does not fit"));
  EXPECT_THAT(with("[\"a.jpg\",512", "[\"a.jpg\",-512"), HasSubstr("wanted a whole number"));
  EXPECT_THAT(with("[\"a.jpg\",512", "[\"a.jpg\",0"), HasSubstr("does not fit"));
  EXPECT_THAT(with("[\"a.jpg\",512", "[\"a.jpg\",1e3"), HasSubstr("wanted a whole number"));
  EXPECT_THAT(with("[\"a.jpg\",512", "[\"a.jpg\",18446744073709551104"), HasSubstr("wanted a whole number"));
  // The last image of the first shard: a byte more than the shard has.
  const size_t first = index.find('\n') + 1;
  const nlohmann::json record = nlohmann::json::parse(index.substr(first, index.find('\n', first) - first));
  const nlohmann::json last = record.at("images").back();
  const int64_t left = record.at("bytes").get<int64_t>() - last[1].get<int64_t>();
  const auto entry = [&](int64_t size) {
    return fmt::format("{},{},{}]", last[1].get<int64_t>(), size, last[3].get<int64_t>());
  };
  EXPECT_THAT(with(entry(last[2]), entry(left + 1)), HasSubstr("does not fit"));
  EXPECT_THAT(with(",2],", ",3],"), HasSubstr("wanted a whole number from 0 to 2"));
  EXPECT_THAT(with("train-000001.tar", "../rain-00001.tar"), HasSubstr("is missing"));
  EXPECT_THAT(with("train-000001.tar", "train-000002.tar"), HasSubstr("train-000002.tar is missing"));
  EXPECT_THAT(with("\"shard\"", "\"sharp\""), HasSubstr("line 2:"));
  EXPECT_THAT(with(index, index.substr(0, index.size() - 9)), HasSubstr("line 3:"));
  EXPECT_THAT(with(index, ""), HasSubstr("line 1:"));
  write_bytes(folder_ / "train-index.jsonl", index);
  put(good_ + kEnd, "train-000002.tar");
  EXPECT_THAT(failure(), HasSubstr("train-000002.tar is not in the index"));
  fs::remove(folder_ / "train-000002.tar");
  put((good_ + kEnd).substr(0, good_.size()));
  EXPECT_THAT(failure(), AllOf(HasSubstr("train-000000.tar: has"), HasSubstr("has been cut or replaced")));
  put(std::string((good_ + kEnd).size(), '\0'));
  EXPECT_THAT(failure(), HasSubstr("is not at byte 512 of the shard: the shard is damaged"));
}

// With an index, damage inside a shard is found when the image is read; the loader counts it, as it does for files.
TEST_F(TarShards, ADamagedImageIsSkippedAndCounted) {
  put(good_ + kEnd);
  open();
  std::string tar = good_ + kEnd;
  const size_t b = 512 + (photos_[0].size() + 511) / 512 * 512 + 1024;  // of the second sample's header
  tar.replace(b, 512 + photos_[1].size(), std::string(512 + photos_[1].size(), '\0'));
  put(tar);
  const auto source = open();
  Loader loader(source, {.batch_size = 3, .crop_size = 8, .max_bad_images = 1});
  loader.start(0);
  const Batch* batch = loader.next();
  ASSERT_NE(batch, nullptr);
  EXPECT_THAT(std::vector<int32_t>(batch->labels.data<int32_t>(), batch->labels.data<int32_t>() + 3), ElementsAre(2, -1, 1));
  EXPECT_THAT(loader.errors().summary(), HasSubstr("train-000000.tar/x/b.jpg: is not at byte"));
  EXPECT_EQ(loader.errors().count(), 1);
  const Verification verified = verify(source, nullptr, {.tiny = 8, .workers = 0}, [](int64_t) { return true; });
  ASSERT_EQ(verified.findings.size(), 2U);
  EXPECT_EQ(verified.findings[0].kind, FindingKind::unreadable);
  EXPECT_EQ(verified.findings[1].kind, FindingKind::damaged_file);
}

// The sizes of views, and so of memory, come from the index, but a photo may have another size.
TEST_F(TarShards, AnImageOfAnotherSizeThanTheIndexSaysIsSkippedAndCounted) {
  put(good_ + kEnd);
  open();
  const std::string index = read_bytes(folder_ / "train-index.jsonl");
  const auto say = [&](const std::string& size) {
    std::string text = index;
    const std::string unknown = "\"image_size\":null";
    text.replace(text.find(unknown), unknown.size(), "\"image_size\":" + size);
    write_bytes(folder_ / "train-index.jsonl", text);
  };
  say("[9,8]");
  const auto source = open();
  Loader loader(
      source,
      {.batch_size = 3, .crop_size = 8, .view = make_whole_image(8), .workers = 2, .max_bad_images = 2, .max_bad_share = 1});
  loader.start(0);
  const Batch* batch = loader.next();
  ASSERT_NE(batch, nullptr);
  EXPECT_THAT(std::vector<int32_t>(batch->labels.data<int32_t>(), batch->labels.data<int32_t>() + 6),
              ElementsAre(-1, -1, 0, 0, -1, -1));
  EXPECT_THAT(loader.errors().summary(),
              AllOf(HasSubstr("a.jpg: has 24x20 pixels, which give a view of 9x8; wanted one of 8x9"),
                    HasSubstr("c.jpg: has 16x12 pixels")));
  const Verification verified = verify(source, nullptr, {.tiny = 8, .workers = 0}, [](int64_t) { return true; });
  ASSERT_EQ(std::ranges::count(verified.findings, FindingKind::unreadable, &Finding::kind), 2);
  EXPECT_THAT(verified.findings[0].detail, HasSubstr("has 24x20 pixels; wanted 8x9"));
  for (const char* wrong : {"[0,8]", "[8,0]", "[0,0]", "[16385,16385]", "[-1,8]"}) {
    say(wrong);
    EXPECT_THAT(failure(), AllOf(HasSubstr("train-index.jsonl: line 1:"), HasSubstr("wanted a whole number from 1 to")))
        << wrong;
  }
}

// A bit inside a photo changes: the tar file is sound, and the photo may well decode.
TEST_F(TarShards, ADigestTellsWhatNothingElseTells) {
  put(good_ + kEnd);
  open();
  std::string tar = good_ + kEnd;
  tar[512 + photos_[0].size() - 20] ^= 1;
  put(tar);
  const Verification verified = verify(open(), nullptr, {.tiny = 8, .workers = 0}, [](int64_t) { return true; });
  const auto damaged = std::ranges::find(verified.findings, FindingKind::damaged_file, &Finding::kind);
  ASSERT_NE(damaged, verified.findings.end());
  EXPECT_THAT(damaged->detail, HasSubstr("train-000000.tar: has changed: its digest is"));
}

TEST_F(TarShards, ALabelThatTheIndexAloneHasIsToldAsSuch) {
  put(good_ + kEnd);
  open();
  std::string index = read_bytes(folder_ / "train-index.jsonl");
  const size_t a = index.find("[\"a.jpg\"");
  index[index.find(']', a) - 1] = '0';  // was 2
  write_bytes(folder_ / "train-index.jsonl", index);
  const Verification verified = verify(open(), nullptr, {.tiny = 8, .workers = 0}, [](int64_t) { return true; });
  const auto damaged = std::ranges::find(verified.findings, FindingKind::damaged_file, &Finding::kind);
  ASSERT_NE(damaged, verified.findings.end());
  EXPECT_THAT(damaged->detail, HasSubstr("train-000000.tar: train-index.jsonl lists other images or labels"));
}

// A stray shard beside an image folder: which of the two is meant is the user's to say.
TEST_F(TarShards, AStrayShardDoesNotHideAnImageFolder) {
  for (const char* name : {"train/cat", "train/dog"}) {
    fs::create_directories(folder_ / name);
    write_bytes(folder_ / (std::string(name) + "/a.jpg"), photos_[0]);
  }
  put(good_ + kEnd, "train-1.tar");
  EXPECT_THAT(failure(), HasSubstr("looks like imagefolder and webdataset: choose one"));
  EXPECT_EQ(open_source("imagefolder", folder_.path(), Split::train)->size(), 2);
  EXPECT_THROW(open_source("webdataset", folder_.path(), Split::train), UsageError);
}

}  // namespace
}  // namespace residua::test
