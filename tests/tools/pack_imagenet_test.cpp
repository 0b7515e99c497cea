#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/data/image_fixtures.h"
#include "tests/support/environment.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

/// pack-imagenet and verify-imagenet, on a folder of small photos.
class DataTools : public ::testing::Test {
 protected:
  DataTools() {
    for (int i = 0; i < 12; ++i) {
      const std::string folder = std::string(i < 8 ? "photos/train/" : "photos/val/") + (i % 2 == 0 ? "cat" : "dog");
      fs::create_directories(folder_ / folder);
      write_bytes(folder_ / folder + "/" + std::to_string(i) + ".jpg",
                  encode_jpeg(photo_image(40 + i, 60, static_cast<uint64_t>(i))));
    }
  }

  void SetUp() override {
    if (!fs::exists(RESIDUA_BINARY_DIR "/pack-imagenet")) {
      GTEST_SKIP() << "this is an archive of tools/bundle, which has no pack-imagenet";
    }
  }

  /// Runs a program in the folder; returns its exit code.
  int run(const std::string& call) {
    const std::string command = "cd " + folder_.path() + " && " RESIDUA_BINARY_DIR "/" + call + " > out 2> err";
    const int status = std::system(command.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string out() { return read_bytes(folder_ / "out"); }
  /// What went to stderr, which must be one line.
  std::string error() {
    const std::string text = read_bytes(folder_ / "err");
    EXPECT_EQ(std::ranges::count(text, '\n'), 1) << text;
    return text;
  }
  std::map<std::string, std::string> files(const std::string& folder) {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(folder_ / folder)) {
      files[entry.path().filename().string()] = read_bytes(entry.path().string());
    }
    return files;
  }

  TemporaryFolder folder_;
};

TEST_F(DataTools, PackVerifyAndTrain) {
  ASSERT_EQ(run("pack-imagenet photos shards --workers 1"), 0) << error();
  EXPECT_THAT(out(), AllOf(HasSubstr("train: 8 of 8 images, 0.0 MB, shards: 1\n"), HasSubstr("val: 4 of 4 images, ")));
  ASSERT_EQ(run("pack-imagenet photos shards --workers auto"), 0) << error();
  EXPECT_THAT(out(), HasSubstr("8 were there already"));
  for (const char* data : {"photos", "shards"}) {
    ASSERT_EQ(run(std::string("verify-imagenet ") + data + " --json report.json --workers 1"), 0) << out();
    EXPECT_THAT(out(), AllOf(HasSubstr("train: 8 images in 2 classes, 4 to 4 each\nval: 4 images"), HasSubstr("\ngood\n")));
    EXPECT_EQ(nlohmann::json::parse(read_bytes(folder_ / "report.json"))["good"], true);
  }
  const std::string flags =
      " --model resnet20 --crop-size 16 -b 4 --iterations 3 --precision fp32 --device cpu --threads 1 --workers 0 ";
  ASSERT_EQ(run("train-imagenet photos --output a" + flags), 0) << error();
  ASSERT_EQ(run("train-imagenet shards --output b" + flags), 0) << error();
  EXPECT_TRUE(read_bytes(folder_ / "a/last.safetensors") == read_bytes(folder_ / "b/last.safetensors"));
}

TEST_F(DataTools, PackOfADataSetWithoutFolderTakesOneWord) {
  ASSERT_EQ(run("pack-imagenet --dataset synthetic shards --synthetic-images 20 --splits train"), 0) << error();
  EXPECT_THAT(out(), HasSubstr("train: 20 of 20 images"));
  EXPECT_TRUE(fs::exists(folder_ / "shards/train-000000.tar"));
}

TEST_F(DataTools, VerifyExitsByWhatItFinds) {
  write_bytes(folder_ / "photos/train/cat/cut.jpg", encode_jpeg(photo_image(40, 40, 9)).substr(0, 700));
  write_bytes(folder_ / "photos/train/dog/odd.jpg", encode_png(photo_image(40, 40, 9)));
  ASSERT_EQ(run("verify-imagenet photos --json report.json"), 1);
  EXPECT_THAT(out(), AllOf(HasSubstr("BAD unreadable: 1 (images that cannot be read or decoded)\n"), HasSubstr("cut.jpg"),
                           HasSubstr("note misnamed: 1 (images"), HasSubstr("would harm a run")));
  EXPECT_EQ(nlohmann::json::parse(read_bytes(folder_ / "report.json"))["counts"]["misnamed"], 1);
  fs::remove(folder_ / "photos/train/cat/cut.jpg");
  EXPECT_EQ(run("verify-imagenet photos"), 0);
  ASSERT_EQ(run("pack-imagenet photos shards"), 0);
  fs::resize_file(folder_ / "shards/train-000000.tar", 3000);
  EXPECT_EQ(run("verify-imagenet shards"), 1);
  EXPECT_THAT(out(), AllOf(HasSubstr("BAD unopened: 1 (splits that cannot be opened)\n  train: "),
                           HasSubstr("train-000000.tar: has 3000 bytes"), HasSubstr("val: 4 images")));
}

TEST_F(DataTools, VerifyGoesOnAfterASplitThatCannotBeOpened) {
  const auto unopened = [&](const std::string& read) {
    EXPECT_EQ(run("verify-imagenet photos --json report.json"), 1);
    const auto report = nlohmann::json::parse(read_bytes(folder_ / "report.json"));
    EXPECT_EQ(report["counts"]["unopened"], 1);
    EXPECT_TRUE(report["splits"].contains(read) && report["splits"].size() == 1) << report["splits"];
    return report["findings"][0]["detail"].get<std::string>();
  };
  fs::create_directories(folder_ / "photos/val/owl");
  EXPECT_THAT(unopened("train"), HasSubstr("photos/val/owl' has no counterpart in 'photos/train'"));
  fs::remove_all(folder_ / "photos/val");
  EXPECT_THAT(unopened("train"), HasSubstr("wanted val/"));
  fs::create_directories(folder_ / "photos/train/owl");
  fs::rename(folder_ / "photos/train/cat", folder_ / "cat");
  fs::create_directories(folder_ / "photos/val");
  fs::create_directories(folder_ / "photos/train/cat");
  fs::rename(folder_ / "cat", folder_ / "photos/val/cat");
  EXPECT_THAT(unopened("val"), HasSubstr("class folder 'photos/train/cat' is empty"));
  EXPECT_EQ(run("verify-imagenet photos --splits val"), 0);
}

// A mistake that would cost hours is told at once.
TEST_F(DataTools, EverythingIsCheckedBeforeTheWork) {
  write_bytes(folder_ / "photos/train/cat/cut.jpg", "no image");
  EXPECT_EQ(run("verify-imagenet photos --json missing/report.json"), 2);
  EXPECT_THAT(error(), HasSubstr("--json: got 'missing/report.json', wanted a file in a folder that exists"));
  EXPECT_EQ(out(), "");
  fs::remove_all(folder_ / "photos/val");
  EXPECT_EQ(run("pack-imagenet photos shards"), 2);
  EXPECT_THAT(error(), HasSubstr("wanted val/"));
  EXPECT_FALSE(fs::exists(folder_ / "shards"));
}

TEST_F(DataTools, AWrongCallIsOneLineAndCode2) {
  for (const char* call : {"pack-imagenet", "pack-imagenet photos", "pack-imagenet photos out --quality 80",
                           "pack-imagenet photos out --foo", "pack-imagenet photos out --shard-size 0",
                           "pack-imagenet --dataset imagefolder photos", "pack-imagenet photos out --splits test",
                           "verify-imagenet", "verify-imagenet photos extra", "verify-imagenet photos --tiny -1"}) {
    EXPECT_EQ(run(call), 2) << call;
    EXPECT_THAT(error(), HasSubstr("-imagenet: ")) << call;
  }
  for (const char* call : {"pack-imagenet missing out", "verify-imagenet missing"}) {
    EXPECT_EQ(run(call), 2) << call;
    EXPECT_THAT(read_bytes(folder_ / "err"), HasSubstr("data folder 'missing' does not exist")) << call;
  }
  EXPECT_FALSE(fs::exists(folder_ / "out/train-index.jsonl"));
  ASSERT_EQ(run("pack-imagenet --help"), 0);
  EXPECT_THAT(out(), AllOf(HasSubstr("--shorter-side"), HasSubstr("--shard-size")));
}

TEST_F(DataTools, ToolsOfOneProcessRefuseRanks) {
  const Environment world("OMPI_COMM_WORLD_SIZE", "3");
  const Environment rank("OMPI_COMM_WORLD_RANK", "1");
  const Environment local_rank("OMPI_COMM_WORLD_LOCAL_RANK", "1");
  for (const std::string tool : {"pack-imagenet photos", "export-onnx weights.safetensors -o"}) {
    EXPECT_EQ(run(tool + " written"), 2);
    const std::string program = tool.substr(0, tool.find(' '));
    EXPECT_EQ(error(), program + ": mpirun started 3 ranks, but " + program + " runs in one process: start it once\n");
    EXPECT_FALSE(fs::exists(folder_ / "written"));
  }
}

// Killed at any moment, by any signal, and repeated: the same files.
TEST_F(DataTools, PackingContinuesAfterEachSignal) {
  ASSERT_EQ(run("pack-imagenet photos/train once --dataset synthetic --synthetic-images 600 --splits train --shard-size 1"), 0)
      << error();
  const auto expected = files("once");
  int stops = 0;
  for (const int signal : {SIGKILL, SIGINT, SIGTERM, SIGKILL, SIGKILL}) {
    const pid_t child = ::fork();
    if (child == 0) {
      const std::string out = folder_ / "again";
      const std::string log = folder_ / "log";
      if (std::freopen(log.c_str(), "w", stdout) == nullptr) {
        ::_exit(126);
      }
      ::execl(RESIDUA_BINARY_DIR "/pack-imagenet", "pack-imagenet", (folder_ / "photos/train").c_str(), out.c_str(),
              "--dataset", "synthetic", "--synthetic-images", "600", "--splits", "train", "--shard-size", "1", nullptr);
      ::_exit(127);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(40 * (1 + stops)));
    ::kill(child, signal);
    int status = 0;
    ::waitpid(child, &status, 0);
    stops += WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1;
  }
  ASSERT_EQ(run("pack-imagenet photos/train again --dataset synthetic --synthetic-images 600 --splits train --shard-size 1"), 0)
      << error();
  EXPECT_TRUE(files("again") == expected);
}

}  // namespace
}  // namespace residua::test
