// tests/parity/evaluation.py on a few photos of $RESIDUA_DATA/photos.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "tests/support/peer_python.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

TEST(EvaluationParity, ProtocolsAgreeWithPyTorchAndTorchvision) {
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
      fmt::format("{} " RESIDUA_SOURCE_DIR "/tests/parity/evaluation.py {} --program " RESIDUA_BINARY_DIR
                  "/train-imagenet --images 4 --size 64 > {} 2>&1",
                  python, photos.string(), folder / "out");
  EXPECT_EQ(std::system(command.c_str()), 0) << read_bytes(folder / "out");
}

}  // namespace
}  // namespace residua::test
