#include <gtest/gtest.h>

#include "core/nn/initialization.h"
#include "core/nn/state_dict.h"
#include "core/run/checkpoint.h"
#include "cuda/host/memory.h"
#include "models/resnet.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

ResNetConfig small() { return {.stem = Stem::cifar, .blocks = {1, 1}, .width = 3, .stored_in_channels = 4, .classes = 7}; }

TEST(StateSnapshot, ReadsTheDeviceOnceForAllThatASaveWrites) {
  ResNet model(small());
  ParameterStore store(model, {.device = {Device::Type::cuda, 0}, .compute = DType::bf16});
  initialize(store, 5);
  const int64_t before = host_cuda::copies_to_host();
  const StateSnapshot now = snapshot(store);
  // The weights and the velocities of both roles, running means and running variances: each flat array once.
  EXPECT_EQ(host_cuda::copies_to_host() - before, 6);
  EXPECT_EQ(now.first_not_finite(), std::nullopt);
  const TemporaryFolder folder;
  save_weights(folder / "last", now, {});
  save_weights(folder / "best", now, {});
  save_checkpoint(folder / "checkpoint", nlohmann::json::object(), checkpoint_arrays(now));
  EXPECT_EQ(host_cuda::copies_to_host() - before, 6);

  // What was read is what the device held.
  ResNet same(small());
  ParameterStore on_cpu(same);
  initialize(on_cpu, 5);
  const StateSnapshot wanted = snapshot(on_cpu);
  ASSERT_EQ(now.weights.size(), wanted.weights.size());
  for (size_t i = 0; i < wanted.weights.size(); ++i) {
    EXPECT_EQ(now.weights[i].bytes, wanted.weights[i].bytes) << wanted.weights[i].name;
  }
}

}  // namespace
}  // namespace residua::test
