#include "core/kernels/run.h"

#include <gmock/gmock.h>

/// A contract of another project: its namespace is not residua, and it has a CPU kernel alone.
namespace elsewhere {

struct Double {
  const float* x;
  float* y;  // overwritten
};

void run(const Double& args, residua::cpu::Stream& /*stream*/) { *args.y = 2 * *args.x; }

}  // namespace elsewhere

namespace residua {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(Run, FindsAKernelBesideItsContract) {
  const float x = 1.5f;
  float y = 0;
  run(Device{}, elsewhere::Double{.x = &x, .y = &y});
  EXPECT_EQ(y, 3.0f);
}

TEST(Run, FailsOnADeviceThatTheContractHasNoKernelFor) {
  const Device gpu{.type = Device::Type::cuda, .index = 1};
  const char* message =
      kBuiltWithCuda ? "device cuda:1: Double has no CUDA kernel" : "device cuda:1 was asked for, but this build";
  EXPECT_THAT([&] { run(gpu, elsewhere::Double{}); }, ThrowsMessage<Error>(HasSubstr(message)));
}

}  // namespace
}  // namespace residua
