#include "core/autograd/trace.h"

#include <gtest/gtest.h>

#include "core/autograd/no_grad.h"
#include "core/ops/add.h"
#include "core/ops/conv2d.h"
#include "core/ops/relu.h"
#include "tests/support/compare.h"

namespace residua::test {
namespace {

TEST(Trace, KeepsTheOperationsOfItsScopeInOrder) {
  const Tensor x = full({1, 4, 4, 2}, 1.0f, DType::f32);
  const Tensor w = full({3, 3, 3, 2}, 0.5f, DType::f32);
  relu(x);
  {
    const NoGrad no_grad;
    const Trace trace;
    const Tensor y = conv2d(x, w, {.stride = 2, .padding = 1});
    add(y, relu(y));
    ASSERT_EQ(trace.ops().size(), 3U);
    const TracedOp& convolution = trace.ops()[0];
    EXPECT_EQ(convolution.name, "conv2d");
    EXPECT_EQ(convolution.inputs[1].data(), w.data());
    EXPECT_EQ(convolution.option("stride"), 2);
    EXPECT_EQ(convolution.option("padding"), 1);
    EXPECT_TRUE(fails_with([&] { convolution.option("epsilon"); }, {"conv2d", "epsilon"}));
    EXPECT_EQ(trace.ops()[1].name, "relu");
    // The memory of a traced tensor is not used again.
    EXPECT_EQ(trace.ops()[2].inputs[0].data(), convolution.output.data());
    EXPECT_EQ(trace.ops()[2].inputs[1].data(), trace.ops()[1].output.data());
    EXPECT_NE(convolution.output.data(), trace.ops()[1].output.data());
    EXPECT_TRUE(fails_with([] { const Trace second; }, {"do not nest"}));
  }
  const Trace empty;
  EXPECT_TRUE(empty.ops().empty());
}

}  // namespace
}  // namespace residua::test
