// --device cuda where there is none: one line that says why and what to do, before anything else is looked at.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>

#include "core/device/built_with_cuda.h"
#include "core/device/device_api.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(DeviceFlag, WithoutACudaDeviceIsOneLineThatSaysWhy) {
  if (device_api::cuda_device_count() > 0) {
    GTEST_SKIP() << "this machine has a CUDA device";
  }
  const TemporaryFolder folder;
  for (const char* device : {"cuda", "cuda:0", "cuda:7"}) {
    const std::string command = "cd " + folder.path() +
                                " && " RESIDUA_BINARY_DIR "/train-imagenet --dataset synthetic --device " + device +
                                " > out 2> err";
    const int status = std::system(command.c_str());
    EXPECT_EQ(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 2) << device;
    EXPECT_EQ(read_bytes(folder / "out"), "");
    const std::string error = read_bytes(folder / "err");
    EXPECT_EQ(std::ranges::count(error, '\n'), 1) << error;
    EXPECT_THAT(error, AllOf(HasSubstr("train-imagenet: "), HasSubstr(device), HasSubstr("use --device cpu")));
    const auto no_build = HasSubstr("this build has no CUDA device");
    const auto no_machine = HasSubstr("this machine has no usable CUDA device");
    if (kBuiltWithCuda) {
      const auto reason = AnyOf(HasSubstr("device: no NVIDIA driver is loaded ("), HasSubstr("device: the driver sees none ("),
                                HasSubstr(": this program uses CUDA "));
      EXPECT_THAT(error, AllOf(no_machine, Not(no_build), reason, HasSubstr("nvidia-smi")));
    } else {
      EXPECT_THAT(error, AllOf(no_build, Not(no_machine), HasSubstr("-DRESIDUA_CUDA=ON")));
    }
  }
}

}  // namespace
}  // namespace residua::test
