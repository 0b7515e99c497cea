// Reads that never return, as from a network drive that is gone: the loader names the files, and ends without their threads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/data/loader.h"
#include "core/io/file_system.h"
#include "tests/data/fake_source.h"
#include "tests/data/gate.h"
#include "tests/data/image_fixtures.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr double kShort = 0.2;  // seconds

/// Images of which some are read only once the gate is open.
std::shared_ptr<const ImageSource> gated(const std::shared_ptr<Gate>& gate, std::vector<int64_t> stuck,
                                         std::vector<int64_t> bad = {}) {
  return std::make_shared<const FakeSource>(
      FakeSource::Options{.images = 32, .bad = std::move(bad), .on_read = [gate, stuck = std::move(stuck)](int64_t image) {
                            if (std::ranges::find(stuck, image) != stuck.end()) {
                              gate->wait();
                            }
                          }});
}

/// Why next() fails, after any number of batches.
std::string failure(Loader& loader) {
  try {
    while (loader.next() != nullptr) {
    }
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(StuckReader, IsNamedAndLeftBehind) {
  for (const int64_t workers : {int64_t{1}, int64_t{4}, kAutoWorkers}) {
    SCOPED_TRACE(workers);
    const auto gate = std::make_shared<Gate>();
    {
      Loader loader(gated(gate, {9, 18}),
                    {.batch_size = 8, .crop_size = 8, .read_timeout = kShort, .workers = workers, .most_workers = 4});
      loader.start(0);
      const std::string what = failure(loader);
      EXPECT_THAT(what, AllOf(HasSubstr("no image has been read for 0.2 seconds"), HasSubstr("fake 9")));
      if (workers != kAutoWorkers) {
        EXPECT_EQ(what.find("fake 18") != std::string::npos, workers == 4) << "one worker is stuck at the first alone";
      }
      EXPECT_THAT(what, Not(HasSubstr("fake 8")));
      EXPECT_EQ(failure(loader), what) << "every call fails";
    }  // ends, although the threads wait
    gate->open();
    gate->until_passed(workers == 4 ? 2 : 1);  // they end without using the loader, which is gone
  }
}

TEST(StuckReader, IsNotWaitedForAtTheEndOfARunOrAtTheNextEpoch) {
  for (const bool to_start : {false, true}) {
    const auto gate = std::make_shared<Gate>();
    {
      Loader loader(gated(gate, {9}), {.batch_size = 8, .crop_size = 8, .read_timeout = kShort, .workers = 1});
      loader.start(0);
      ASSERT_NE(loader.next(), nullptr);
      gate->until_waiting(1);
      if (to_start) {
        EXPECT_THROW(loader.start(1), Error);
      }
    }
    gate->open();
    gate->until_passed(1);
  }
}

// The read returns, but as a failure: the thread must not note it with a loader that is gone.
TEST(StuckReader, ThatFailsInTheEndIsForgotten) {
  const auto gate = std::make_shared<Gate>();
  {
    Loader loader(gated(gate, {9}, {9}),
                  {.batch_size = 8, .crop_size = 8, .read_timeout = kShort, .workers = 2, .max_bad_images = 32});
    loader.start(0);
    EXPECT_THAT(failure(loader), HasSubstr("fake 9"));
  }
  gate->open();
  gate->until_passed(1);
}

TEST(StuckReader, ThatComesBackInTimeIsNoFailure) {
  const auto gate = std::make_shared<Gate>();
  Loader loader(gated(gate, {9}), {.batch_size = 8, .crop_size = 8, .read_timeout = 300, .workers = 2});
  loader.start(0);
  ASSERT_NE(loader.next(), nullptr);
  gate->until_waiting(1);
  gate->open();
  EXPECT_EQ(failure(loader), "");
}

// A limit of 0 is none: the loader waits until the read returns.
TEST(StuckReader, IsWaitedForWithoutALimit) {
  const auto gate = std::make_shared<Gate>();
  Loader loader(gated(gate, {9}), {.batch_size = 8, .crop_size = 8, .read_timeout = 0, .workers = 1});
  loader.start(0);
  ASSERT_NE(loader.next(), nullptr);
  gate->until_waiting(1);
  std::thread helper([&] { gate->open(); });
  EXPECT_EQ(failure(loader), "");
  helper.join();
}

/// Reads of one file wait for the gate.
class DeadDrive final : public FileSystem {
 public:
  DeadDrive(std::string dead, std::shared_ptr<Gate> gate) : dead_(std::move(dead)), gate_(std::move(gate)) {}
  int open(const std::string& path, int flags) override {
    if (path.ends_with(dead_)) {
      const std::shared_ptr<Gate> gate = gate_;
      gate->wait();
    }
    return FileSystem::open(path, flags);
  }

 private:
  const std::string dead_;
  const std::shared_ptr<Gate> gate_;
};

TEST(StuckReader, OfAFolderIsNamedByItsPath) {
  const TemporaryFolder folder;
  for (const char* name : {"cat", "dog"}) {
    fs::create_directories(folder / ("train/" + std::string(name)));
    for (const char* file : {"0.png", "1.png", "2.png"}) {
      write_bytes(folder / fmt::format("train/{}/{}", name, file), encode_png(photo_image(9, 9, 1)));
    }
  }
  const auto gate = std::make_shared<Gate>();
  // A stuck call ends after the test, in a thread that nobody joins: it must find its drive even while the program ends.
  static auto& drives = *new std::vector<std::unique_ptr<DeadDrive>>;
  drives.push_back(std::make_unique<DeadDrive>("dog/1.png", gate));
  const ScopedFileSystem scope(*drives.back());
  {
    Loader loader(open_source("imagefolder", folder.path(), Split::train),
                  {.batch_size = 6, .crop_size = 8, .read_timeout = kShort, .workers = 2});
    loader.start(0);
    EXPECT_THAT(failure(loader), HasSubstr("These files are being read:\n  " + folder / "train/dog/1.png"));
  }
  gate->open();
  gate->until_passed(1);
}

}  // namespace
}  // namespace residua::test
