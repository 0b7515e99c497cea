#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/device/profile.h"
#include "core/tensor/tensor.h"
#include "cuda/host/memory.h"

namespace residua::test {
namespace {

using ::testing::MatchesRegex;

constexpr Device kDevice{Device::Type::cuda, 0};

struct FullDevice {
  FullDevice() { host_cuda::set_free_bytes(120 << 20); }
  FullDevice(const FullDevice&) = delete;
  FullDevice& operator=(const FullDevice&) = delete;
  ~FullDevice() { host_cuda::set_free_bytes(INT64_MAX); }
};

std::string failure_of_too_large_a_block() {
  try {
    empty({130 << 20}, DType::u8, kDevice);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(OutOfMemory, NamesTheDeviceWhatWasWantedAndTheLargestUsers) {
  const FullDevice full;
  Tensor activation, gradient;
  {
    const profile::Layer layer("layer1.0.conv1");
    activation = empty({48 << 20}, DType::u8, kDevice);
    EXPECT_THAT(
        failure_of_too_large_a_block(),
        MatchesRegex("out of memory on cuda:0: 1[0-9][0-9] MiB wanted, [0-9]+ MiB in use by this program, [6-9][0-9] MiB free "
                     "of [0-9]+ MiB \\(the host CUDA device\\), most of it by layer1.0.conv1 \\([0-9]+ MiB\\).*; use a smaller "
                     "batch or crop size"));
  }
  {
    const profile::Layer layer("fc");
    gradient = empty({60 << 20}, DType::u8, kDevice);
  }
  EXPECT_THAT(failure_of_too_large_a_block(), MatchesRegex(".*most of it by fc \\([0-9]+ MiB\\), layer1.0.conv1 .*"));
}

TEST(OutOfMemory, IsNoEndWhereThereIsRoomAfterwards) {
  {
    const FullDevice full;
    EXPECT_NE(failure_of_too_large_a_block(), "");
  }
  EXPECT_EQ(failure_of_too_large_a_block(), "");
}

}  // namespace
}  // namespace residua::test
