// augmentation.py and evaluation.py on photos of $RESIDUA_DATA/photos, in short forms.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "tests/support/peer_python.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

/// Runs tests/parity/<script> on the photos, or skips the test.
void run_on_photos(const std::string& script, const std::string& program, const std::string& flags) {
  const std::string python = peer_python("torchvision, safetensors.torch, PIL");
  if (python.empty()) {
    GTEST_SKIP() << "set the environment variable RESIDUA_PYTHON to a Python with torch, torchvision, Pillow and safetensors";
  }
  const char* data = std::getenv("RESIDUA_DATA");
  const std::filesystem::path photos = data == nullptr ? "" : std::filesystem::path(data) / "photos";
  if (data == nullptr || !std::filesystem::is_directory(photos)) {
    GTEST_SKIP() << "set the environment variable RESIDUA_DATA to a folder that holds photos/";
  }
  const TemporaryFolder folder;
  const std::string command =
      fmt::format("{} " RESIDUA_SOURCE_DIR "/tests/parity/{} {} --program " RESIDUA_BINARY_DIR "/{} {} > {} 2>&1", python,
                  script, photos.string(), program, flags, folder / "out");
  EXPECT_EQ(std::system(command.c_str()), 0) << read_bytes(folder / "out");
}

TEST(EvaluationParity, ProtocolsAgreeWithPyTorchAndTorchvision) {
  run_on_photos("evaluation.py", "train-imagenet", "--images 4 --size 64");
}

TEST(AugmentationParity, ViewsAgreeWithTorchvision) { run_on_photos("augmentation.py", "parity-views", "--draws 100"); }

}  // namespace
}  // namespace residua::test
