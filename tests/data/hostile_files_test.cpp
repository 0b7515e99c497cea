// Files that change, vanish, may not be read, lead elsewhere or are no files, below a folder of images: each is named and
// counted, and costs no other image.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/printable.h"
#include "core/data/loader.h"
#include "core/io/file_system.h"
#include "tests/data/image_fixtures.h"
#include "tests/support/normal_user.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

/// Does something to a file when it is opened, or before it is read.
class Meddler final : public FileSystem {
 public:
  using Act = std::function<void(const std::string& path)>;
  Meddler(std::string name, Act on_open, Act on_read)
      : name_(std::move(name)), on_open_(std::move(on_open)), on_read_(std::move(on_read)) {}

  int open(const std::string& path, int flags) override {
    if (path.ends_with(name_) && on_open_) {
      on_open_(path);
    }
    const int descriptor = FileSystem::open(path, flags);
    if (path.ends_with(name_)) {
      descriptor_ = descriptor;
      path_ = path;
    }
    return descriptor;
  }
  ssize_t read(int descriptor, void* data, size_t bytes, off_t offset) override {
    if (descriptor == descriptor_ && on_read_) {
      on_read_(path_);
    }
    return FileSystem::read(descriptor, data, bytes, offset);
  }

 private:
  const std::string name_;
  const Act on_open_;
  const Act on_read_;
  int descriptor_ = -1;
  std::string path_;
};

class HostileFiles : public ::testing::Test {
 protected:
  HostileFiles() {
    fs::permissions(folder_.path(), fs::perms::all);  // for other users too
    for (const char* name : {"cat", "dog"}) {
      fs::create_directories(folder_ / ("train/" + std::string(name)));
      for (int i = 0; i < 3; ++i) {
        write_bytes(folder_ / fmt::format("train/{}/{}.png", name, i), image(name[0] + i));
      }
    }
  }

  static std::string image(int seed) { return encode_png(photo_image(12, 12, static_cast<uint64_t>(seed))); }

  std::shared_ptr<const ImageSource> open() const { return open_source("imagefolder", folder_.path(), Split::train); }

  /// The messages about the images that an epoch leaves out.
  static std::string left_out(const std::shared_ptr<const ImageSource>& source, int64_t bad, int64_t workers = 0) {
    Loader loader(
        source, {.batch_size = source->size(), .crop_size = 12, .workers = workers, .max_bad_images = 100, .max_bad_share = 1});
    loader.start(0);
    const Batch* batch = loader.next();
    EXPECT_EQ(std::ranges::count(batch->labels.span<int32_t>(), -1), bad);
    EXPECT_EQ(loader.errors().count(), bad);
    return loader.errors().summary();
  }

  TemporaryFolder folder_;
};

TEST_F(HostileFiles, AFifoIsNotWaitedFor) {
  ASSERT_EQ(::mkfifo((folder_ / "train/cat/3.png").c_str(), 0666), 0);
  ASSERT_EQ(::mkfifo((folder_ / "train/cat/notes").c_str(), 0666), 0);  // looked into, to see whether it is an image
  const auto source = open();
  EXPECT_EQ(source->size(), 7);
  for (const int64_t workers : {0, 1, 4}) {
    EXPECT_THAT(left_out(source, 1, workers), HasSubstr(folder_ / "train/cat/3.png: is not a regular file"));
  }
}

TEST_F(HostileFiles, AFileThatChangesWhileItIsRead) {
  const std::string other = image(77);
  const std::map<std::string, std::pair<Meddler::Act, int64_t>> on_read = {
      {"shrinks", {[](const std::string& path) { fs::resize_file(path, 40); }, 1}},
      {"is emptied", {[](const std::string& path) { fs::resize_file(path, 0); }, 1}},
      {"is overwritten", {[&](const std::string& path) { write_bytes(path, other.substr(0, other.size() / 2)); }, 1}},
      {"grows", {[](const std::string& path) { fs::resize_file(path, 100'000); }, 0}},
      {"vanishes", {[](const std::string& path) { fs::remove(path); }, 0}},
      {"is replaced",
       {[&](const std::string& path) {
          write_bytes(path + ".new", other);
          fs::rename(path + ".new", path);
        },
        0}}};
  const std::string before = read_bytes(folder_ / "train/dog/1.png");
  const auto source = open();
  for (const auto& [what, act] : on_read) {
    SCOPED_TRACE(what);
    write_bytes(folder_ / "train/dog/1.png", before);
    Meddler meddler("dog/1.png", {}, act.first);
    const ScopedFileSystem scope(meddler);
    const std::string said = left_out(source, act.second);
    if (act.second > 0) {
      EXPECT_THAT(said, HasSubstr(folder_ / "train/dog/1.png: "));
    }
  }
  // What an open file held when it was opened is what is read: the old image, whole.
  write_bytes(folder_ / "train/dog/1.png", before);
  const Image wanted = source->load(4);
  Meddler meddler("dog/1.png", {}, on_read.at("is replaced").first);
  const ScopedFileSystem scope(meddler);
  EXPECT_EQ(source->load(4).pixels, wanted.pixels);
}

TEST_F(HostileFiles, AFileThatVanishesBeforeItIsRead) {
  const auto source = open();
  Meddler meddler("cat/2.png", [](const std::string& path) { fs::remove(path); }, {});
  const ScopedFileSystem scope(meddler);
  EXPECT_THAT(left_out(source, 1), HasSubstr(folder_ / "train/cat/2.png: cannot be opened: No such file or directory"));
}

TEST_F(HostileFiles, AFolderWithoutPermission) {
  const auto source = open();
  for (const char* closed : {"train/dog", "train", "."}) {
    const fs::perms before = fs::status(folder_ / closed).permissions();
    fs::permissions(folder_ / closed, fs::perms::none);
    {
      const NormalUser user;
      if (!NormalUser::now()) {
        GTEST_SKIP() << "root cannot become another user here";
      }
      if (std::string(closed) == "train/dog") {  // an epoch that has begun
        const std::string said = left_out(source, 3);
        for (int i = 0; i < 3; ++i) {
          EXPECT_THAT(said, HasSubstr(fmt::format("{}/{}.png: cannot be opened: Permission denied", folder_ / "train/dog", i)));
        }
      }
      for (const char* dataset : {"auto", "imagefolder", "webdataset", "cifar10", "cifar100"}) {
        try {
          open_source(dataset, folder_.path(), Split::train);
          ADD_FAILURE() << dataset << " opened it";
        } catch (const UsageError& error) {
          EXPECT_THAT(error.what(), HasSubstr(folder_.path())) << dataset << " " << closed;
        }
      }
    }
    fs::permissions(folder_ / closed, before);
  }
}

TEST_F(HostileFiles, ASingleFileWithoutPermission) {
  const auto source = open();
  fs::permissions(folder_ / "train/cat/0.png", fs::perms::none);
  const NormalUser user;
  if (!NormalUser::now()) {
    GTEST_SKIP() << "root cannot become another user here";
  }
  EXPECT_THAT(left_out(source, 1), HasSubstr(folder_ / "train/cat/0.png: cannot be opened: Permission denied"));
}

// Linked data sets are common: a link is read like what it names, a link in a circle is not followed, a broken one is counted.
TEST_F(HostileFiles, LinksAreFollowed) {
  const TemporaryFolder elsewhere;
  write_bytes(elsewhere / "far.png", image(5));
  fs::create_symlink(elsewhere / "far.png", folder_ / "train/cat/linked.png");
  fs::create_symlink(elsewhere / "gone.png", folder_ / "train/cat/broken.png");
  fs::create_directory_symlink(folder_ / "train", folder_ / "train/cat/circle");
  const auto source = open();
  EXPECT_EQ(source->size(), 8);
  EXPECT_THAT(left_out(source, 1), HasSubstr("broken.png: cannot be opened"));
}

// A list of labels is part of the data set, and may name its images alone.
TEST_F(HostileFiles, AListOfLabelsDoesNotLeadOutOfTheFolder) {
  fs::create_directories(folder_ / "val");
  write_bytes(folder_ / "secret.png", image(1));
  write_bytes(folder_ / "val/0.png", image(2));
  for (const std::string& name :
       std::vector<std::string>{"../secret.png", "a/../../secret.png", folder_ / "secret.png", "..", {"0.png\0x", 7}}) {
    write_bytes(folder_ / "val.txt", "0.png cat\n" + name + " dog\n");
    try {
      open_source("imagefolder", folder_.path(), Split::val);
      ADD_FAILURE() << name;
    } catch (const UsageError& error) {
      EXPECT_THAT(error.what(),
                  AllOf(HasSubstr("val.txt' lists '" + printable_line(name) + "'"), HasSubstr("inside the folder")));
    }
  }
  write_bytes(folder_ / "val.txt", "0.png cat\n");
  EXPECT_EQ(open_source("imagefolder", folder_.path(), Split::val)->size(), 1);
}

}  // namespace
}  // namespace residua::test
