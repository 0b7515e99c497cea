#include "core/autograd/tape.h"
#include "core/autograd/no_grad.h"

#include <gtest/gtest.h>

#include "core/device/device_api.h"
#include "core/ops/add.h"
#include "core/ops/conv2d.h"
#include "core/ops/linear.h"
#include "core/ops/pooling.h"
#include "core/ops/relu.h"
#include "core/ops/softmax_cross_entropy.h"
#include "tests/support/compare.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

Tensor leaf(const std::vector<float>& values, DType dtype = DType::f32) {
  Tensor t = from_values({static_cast<int64_t>(values.size())}, values, dtype);
  t.set_requires_grad(true);
  return t;
}

Tensor weights(const std::vector<float>& values) { return from_values({static_cast<int64_t>(values.size())}, values); }

using Floats = std::vector<float>;

TEST(Tape, AddsUpWhatSeveralUsesGive) {
  const Tensor x = leaf({1, 2, -3});
  const Tensor y = add(relu(x), add(x, x));
  backward(projected(y, weights({1, 10, 100})));
  EXPECT_EQ(x.grad().to_vector(), (Floats{3, 30, 200}));
}

TEST(Tape, WalksADiamondOnce) {
  // Each layer doubles the number of paths; the number of operations must not double with it.
  const Tensor x = leaf({1});
  Tensor y = x;
  for (int i = 0; i < 20; ++i) {
    y = add(relu(y), relu(y));
  }
  backward(projected(y, weights({1})));
  EXPECT_EQ(x.grad().to_vector(), (Floats{1048576}));
}

TEST(Tape, LeavesTheTensorsOfAFanOutUnchanged) {
  // Both branches get the same dy; adding to one sum must not show in the other.
  const Tensor a = leaf({1, 2});
  const Tensor b = leaf({3, 4});
  const Tensor ra = relu(a);
  const Tensor y = add(add(ra, relu(b)), ra);
  const Tensor projection = weights({5, 7});
  backward(projected(y, projection));
  EXPECT_EQ(a.grad().to_vector(), (Floats{10, 14}));
  EXPECT_EQ(b.grad().to_vector(), (Floats{5, 7}));
  EXPECT_EQ(projection.to_vector(), (Floats{5, 7}));
}

TEST(Tape, TellsWhenTheGradientOfALeafIsComplete) {
  const Tensor a = leaf({1, 2});
  const Tensor b = leaf({3, 4});
  const Tensor unused = leaf({5, 6});
  // a is used first and last; b only in between.
  const Tensor y = add(add(relu(a), relu(b)), relu(relu(a)));
  std::vector<std::pair<const AutogradMeta*, Floats>> told;
  const auto complete = [&](const AutogradMeta& meta) { told.emplace_back(&meta, meta.gradient.to_vector()); };
  backward(projected(y, weights({1, 10})), full({}, 1.0f, DType::f32), complete);
  ASSERT_EQ(told.size(), 2u) << "each leaf once";
  EXPECT_EQ(told[0], (std::pair<const AutogradMeta*, Floats>(b.autograd().get(), {1, 10})));
  EXPECT_EQ(told[1], (std::pair<const AutogradMeta*, Floats>(a.autograd().get(), {2, 20})));
}

TEST(Tape, AccumulatesOverBackwardCallsUntilZeroGrad) {
  Tensor x = leaf({1, 2});
  EXPECT_FALSE(x.grad().defined());
  for (const float times : {1.0f, 2.0f, 3.0f}) {
    backward(projected(relu(x), weights({1, 10})));
    EXPECT_EQ(x.grad().to_vector(), (Floats{times, 10 * times}));
  }
  x.zero_grad();
  EXPECT_FALSE(x.grad().defined());
  backward(projected(relu(x), weights({1, 10})));
  EXPECT_EQ(x.grad().to_vector(), (Floats{1, 10}));
}

TEST(Tape, WritesIntoTheGradientBuffer) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Tensor arena = full({4}, 77.0f, dtype);
    Tensor x = leaf({1, 2});
    x.set_grad_buffer(arena.slice(1, {2}));
    for (const float times : {1.0f, 2.0f}) {
      backward(projected(relu(x), weights({1, 10})));
      EXPECT_EQ(arena.to_vector(), (Floats{77, times, 10 * times, 77})) << name(dtype);
    }
    x.zero_grad();
    backward(projected(add(x, x), weights({1, 10})));
    EXPECT_EQ(arena.to_vector(), (Floats{77, 2, 20, 77})) << name(dtype);
    EXPECT_EQ(x.grad().data(), arena.slice(1, {2}).data());
  }
  Tensor x = leaf({1, 2});
  EXPECT_TRUE(fails_with([&] { x.set_grad_buffer(zeros({3}, DType::f32)); }, {"[3]", "[2]"}));
}

TEST(Tape, ALeafThatIsTheLossOfNothingKeepsNoGradient) {
  const Tensor used = leaf({1});
  const Tensor unused = leaf({1});
  backward(projected(relu(used), weights({1})));
  EXPECT_TRUE(used.grad().defined());
  EXPECT_FALSE(unused.grad().defined());
}

TEST(Tape, GivesNothingToTensorsThatWantNone) {
  const Tensor x = leaf({1, 2});
  const Tensor fixed = weights({3, 4});
  backward(projected(add(x, fixed), weights({1, 1})));
  EXPECT_FALSE(fixed.grad().defined());
  EXPECT_FALSE(relu(fixed).requires_grad());
  EXPECT_TRUE(relu(x).requires_grad());
  EXPECT_FALSE(relu(x.detached()).requires_grad());
}

TEST(Tape, RecordsNothingInsideNoGrad) {
  const Tensor x = leaf({1, 2});
  {
    const NoGrad outer;
    {
      const NoGrad inner;
      EXPECT_FALSE(grad_needed({x}));
    }
    EXPECT_FALSE(relu(x).requires_grad());
    EXPECT_FALSE(grad_needed({x}));
  }
  EXPECT_TRUE(grad_needed({x}));
  EXPECT_FALSE(grad_needed({Tensor(), weights({1})}));
  EXPECT_TRUE(relu(x).requires_grad());
}

TEST(Tape, RecordsNothingInARule) {
  const Tensor x = leaf({1, 2});
  std::vector<bool> recorded;
  const Tensor y = record(empty({}, DType::f32), {x}, "rule", [&](const Tensor&, Gradients& gradients) {
    recorded.push_back(relu(x).requires_grad());
    gradients.output(0).copy_from(Floats{3, 4});
  });
  backward(y);
  EXPECT_EQ(recorded, (std::vector<bool>{false}));
  EXPECT_EQ(x.grad().to_vector(), (Floats{3, 4}));
  EXPECT_TRUE(relu(x).requires_grad());
}

TEST(Tape, RefusesASecondBackward) {
  const Tensor x = leaf({1, 2});
  const Tensor hidden = relu(x);
  const Tensor loss = projected(hidden, weights({1, 1}));
  backward(loss);
  EXPECT_TRUE(fails_with([&] { backward(loss); }, {"second backward()", "projected", "forward pass again"}));
  // Nor through a part of the graph.
  EXPECT_TRUE(fails_with([&] { backward(projected(relu(hidden), weights({1, 1}))); }, {"second backward()", "relu"}));
}

TEST(Tape, RefusesWhatHasNoGradient) {
  const Tensor x = leaf({1, 2});
  EXPECT_TRUE(fails_with([&] { backward(relu(x)); }, {"scalar", "[2]"}));
  EXPECT_TRUE(fails_with([&] { backward(leaf({1})); }, {"made by a recorded operation"}));
  EXPECT_TRUE(fails_with([&] { backward(relu(weights({1}))); }, {"made by a recorded operation"}));
  Tensor integers = zeros({2}, DType::i32);
  EXPECT_TRUE(fails_with([&] { integers.set_requires_grad(true); }, {"i32"}));
  Tensor result = relu(x);
  EXPECT_TRUE(fails_with([&] { result.set_requires_grad(true); }, {"a leaf", "relu"}));
}

TEST(Tape, ScalesTheLoss) {
  Tensor logits = zeros({1, 2}, DType::f32);
  logits.set_requires_grad(true);
  const Tensor label = zeros({1}, DType::i32);
  backward(softmax_cross_entropy(logits, label).loss, 8.0f);
  EXPECT_EQ(logits.grad().to_vector(), (Floats{-4, 4}));
}

/// Bytes that tensors use now.
int64_t live_bytes() { return device_api::memory_use({}).live_bytes; }

class Network {
 public:
  Network() {
    Random random("tape network");
    for (Tensor* w : {&convolution_, &head_}) {
      w->copy_from(Floats(static_cast<size_t>(w->size()), static_cast<float>(random.uniform(0.1, 0.2))));
      w->set_requires_grad(true);
      w->set_grad_buffer(zeros(w->shape(), DType::f32));
    }
  }
  Tensor loss(const Tensor& x) const {
    const Tensor h = relu(conv2d(x, convolution_, {.stride = 1, .padding = 1}));
    const Tensor features = global_average_pool(add(h, max_pool(h, {.window = 3, .stride = 1, .padding = 1})));
    return softmax_cross_entropy(linear(features, head_, {}), zeros({x.dim(0)}, DType::i32)).loss;
  }

 private:
  Tensor convolution_ = empty({8, 3, 3, 3}, DType::f32);
  Tensor head_ = empty({10, 8}, DType::f32);
};

TEST(Tape, FreesTheGraphWithItsLastOutput) {
  const Network network;
  const Tensor x = full({4, 16, 16, 3}, 0.5f, DType::f32);
  const int64_t before = live_bytes();
  {
    const Tensor loss = network.loss(x);
    EXPECT_GT(live_bytes(), before + 4 * 16 * 16 * 8 * 4);
  }
  EXPECT_EQ(live_bytes(), before) << "a graph that was never walked leaks";
}

TEST(Tape, FreesTheGraphAsItIsWalked) {
  const Network network;
  const Tensor x = full({4, 16, 16, 3}, 0.5f, DType::f32);
  const int64_t before = live_bytes();
  const Tensor loss = network.loss(x);
  backward(loss);
  // Only the loss itself, a scalar in a block of 64 bytes, is still there.
  EXPECT_LE(live_bytes(), before + 64);
}

TEST(Tape, UsesNoMoreMemoryAfterManySteps) {
  const Network network;
  const Tensor x = full({4, 16, 16, 3}, 0.5f, DType::f32);
  for (int i = 0; i < 3; ++i) {
    backward(network.loss(x));
  }
  const device_api::MemoryUse before = device_api::memory_use({});
  for (int i = 0; i < 10; ++i) {
    backward(network.loss(x));
  }
  const device_api::MemoryUse after = device_api::memory_use({});
  EXPECT_EQ(after.live_bytes, before.live_bytes);
  EXPECT_EQ(after.held_bytes, before.held_bytes);
}

TEST(Tape, FreesAVeryDeepGraph) {
  const Tensor x = leaf({1});
  const int64_t before = live_bytes();
  {
    Tensor y = x;
    for (int i = 0; i < 100000; ++i) {
      y = i % 2 == 0 ? relu(y) : add(y, y);
    }
  }
  EXPECT_EQ(live_bytes(), before);
  Tensor y = x;
  for (int i = 0; i < 20000; ++i) {
    y = relu(y);
  }
  backward(projected(y, weights({3})));
  EXPECT_EQ(x.grad().to_vector(), (Floats{3}));
}

/// y = x, whose backward counts the pieces that the gradient of y comes in.
Tensor pieces_counted(const Tensor& x, int& pieces) {
  return record(x.clone(), {x}, "pieces", [&pieces](const Tensor& dy, const Tensor& more, Gradients& gradients) {
    pieces = more.defined() ? 2 : 1;
    gradients.give(0, more.defined() ? add(dy, more) : dy);
  });
}

TEST(Tape, LeavesASumOfTwoGradientsToARuleThatAdds) {
  const Tensor x = leaf({1, 2});
  int pieces = 0;
  backward(projected(pieces_counted(x, pieces), weights({1, 10})));
  EXPECT_EQ(pieces, 1);
  EXPECT_EQ(x.grad().to_vector(), (Floats{1, 10}));

  const Tensor z = leaf({1, -2});
  const Tensor y = pieces_counted(z, pieces);
  backward(projected(add(relu(y), y), weights({1, 10})));
  EXPECT_EQ(pieces, 2);
  EXPECT_EQ(z.grad().to_vector(), (Floats{2, 10}));
}

TEST(Tape, AddsWhatIsMoreThanTwoGradientsForARuleThatAdds) {
  const Tensor x = leaf({1, -2});
  int pieces = 0;
  const Tensor y = pieces_counted(x, pieces);
  const Tensor projection = weights({1, 10});
  backward(projected(add(add(relu(y), y), add(y, relu(add(y, y)))), projection));
  EXPECT_EQ(pieces, 2);
  EXPECT_EQ(x.grad().to_vector(), (Floats{5, 20}));
  EXPECT_EQ(projection.to_vector(), (Floats{1, 10}));
}

TEST(Tape, AFailedBackwardLeavesRecordingOn) {
  const Tensor x = leaf({1});
  const Tensor y = record(empty({}, DType::f32), {x}, "broken", [](const Tensor&, Gradients&) { fail("broken on purpose"); });
  EXPECT_TRUE(fails_with([&] { backward(y); }, {"broken on purpose"}));
  EXPECT_TRUE(relu(x).requires_grad());
}

}  // namespace
}  // namespace residua::test
