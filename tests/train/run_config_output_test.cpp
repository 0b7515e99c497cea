#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "core/train/run_config.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

TEST(DefaultOutput, IsNamedAfterTheDataHoweverItIsWritten) {
  namespace fs = std::filesystem;
  const TemporaryFolder folder;
  fs::create_directories(folder / "photos/inside");
  fs::create_directory_symlink(folder / "photos", folder / "link");
  const auto name = [&](const std::string& path) { return default_output("resnet18", {.folder = path}); };
  EXPECT_EQ(name(folder / "photos"), "runs/resnet18-photos");
  EXPECT_EQ(name(folder / "photos/"), "runs/resnet18-photos");
  EXPECT_EQ(name(folder / "photos//"), "runs/resnet18-photos");
  EXPECT_EQ(name(folder / "photos/."), "runs/resnet18-photos");
  EXPECT_EQ(name(folder / "photos/inside/.."), "runs/resnet18-photos");
  EXPECT_EQ(name(folder / "photos/inside/../"), "runs/resnet18-photos");
  EXPECT_EQ(name(folder / "link"), "runs/resnet18-link");
  EXPECT_EQ(name("/"), "runs/resnet18-data");
  const fs::path before = fs::current_path();
  fs::current_path(folder / "photos/inside");
  EXPECT_EQ(name("."), "runs/resnet18-inside");
  EXPECT_EQ(name(".."), "runs/resnet18-photos");
  EXPECT_EQ(name("./"), "runs/resnet18-inside");
  fs::current_path(before);
  EXPECT_EQ(default_output("resnet20", {.folder = "x", .name = "cifar10"}), "runs/resnet20-cifar10");
}

}  // namespace
}  // namespace residua::test
