#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/train/safetensors.h"
#include "tests/support/temporary_folder.h"

namespace residua {
namespace {

using ::testing::HasSubstr;
using testing::read_bytes;
using testing::TemporaryFolder;

class TrainImagenet : public ::testing::Test {
 protected:
  /// Runs train-imagenet in the folder; returns its exit code.
  int train(const std::string& arguments) {
    const std::string command =
        "cd " + folder_.path() + " && " RESIDUA_BINARY_DIR "/train-imagenet " + arguments + " > out 2> err";
    const int status = std::system(command.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  /// What went to stderr, which must be one line.
  std::string error() {
    const std::string text = read_bytes(folder_ / "err");
    EXPECT_EQ(std::ranges::count(text, '\n'), 1) << text;
    return text;
  }
  /// How many numbers a file of weights names as the input's mean.
  size_t mean_numbers(const std::string& weights) {
    return nlohmann::json::parse(load_safetensors(folder_ / weights).metadata.at("mean")).size();
  }

  TemporaryFolder folder_;
};

const std::string kSmall = "--dataset synthetic --synthetic-images 32 --crop-size 16 -b 16 --iterations 2 --output run ";

TEST_F(TrainImagenet, SubtractsTheMeanImageWhereImagesHaveOneSize) {
  ASSERT_EQ(train(kSmall), 0) << read_bytes(folder_ / "err");
  EXPECT_EQ(mean_numbers("run/last.safetensors"), 16U * 16 * 3);
  ASSERT_EQ(train(kSmall + "--mean channel"), 0) << read_bytes(folder_ / "err");
  EXPECT_EQ(mean_numbers("run/last.safetensors"), 3U);
  ASSERT_EQ(train(kSmall + "--mean 0.5,0.25,1"), 0) << read_bytes(folder_ / "err");
  EXPECT_EQ(load_safetensors(folder_ / "run/last.safetensors").metadata.at("mean"), "[127.5,63.75,255.0]");
  // The file of settings makes the same run.
  const std::string weights = read_bytes(folder_ / "run/last.safetensors");
  ASSERT_EQ(train("--config run/config.toml"), 0) << read_bytes(folder_ / "err");
  EXPECT_EQ(read_bytes(folder_ / "run/last.safetensors"), weights);
}

TEST_F(TrainImagenet, RefusesInOneLineAndWithExitCode2) {
  for (const char* split : {"train", "val"}) {
    for (const char* name : {"a", "b"}) {
      const std::string class_folder = folder_ / "photos/" + split + "/" + name;
      std::filesystem::create_directories(class_folder);
      testing::write_bytes(class_folder + "/1.ppm", "P6\n1 1\n255\nabc");
    }
  }
  ASSERT_EQ(train("photos --mean pixel"), 2);
  EXPECT_THAT(error(), HasSubstr("--mean pixel: images have many sizes"));
  ASSERT_EQ(train("photos --lr nan"), 2);
  EXPECT_THAT(error(), HasSubstr("got 'nan', wanted a finite number > 0"));
  ASSERT_EQ(train("nowhere"), 2);
  EXPECT_THAT(error(), HasSubstr("nowhere does not exist"));
  ASSERT_EQ(train("photos --model resnet2O"), 2);
  EXPECT_THAT(error(), HasSubstr("resnet2O"));
}

}  // namespace
}  // namespace residua
