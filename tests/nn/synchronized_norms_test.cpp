// A network over ranks, with batch normalization over all of them, is the network of one rank with the whole batch.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/autograd/tape.h"
#include "core/nn/conv_bn.h"
#include "core/nn/initialization.h"
#include "core/nn/parameter_store.h"
#include "tests/support/compare.h"
#include "tests/support/no_calls.h"
#include "tests/support/op_case.h"
#include "tests/support/thread_ranks.h"

namespace residua::test {
namespace {

/// Two convolutions with their norms, and a shortcut.
struct Block : Module {
  Block()
      : conv1({.in_channels = 3, .out_channels = 3, .kernel = 3, .stride = 1, .padding = 1}),
        conv2({.in_channels = 3, .out_channels = 3, .kernel = 3, .stride = 1, .padding = 1}),
        bn1(3),
        bn2(3) {
    add_child("conv1", conv1);
    add_child("bn1", bn1);
    add_child("conv2", conv2);
    add_child("bn2", bn2);
  }
  Tensor forward(const Tensor& x, Mode mode) override {
    PendingNorm y = conv_bn(conv1, bn1, x, mode);
    y = conv_bn(conv2, bn2, y, mode);
    return norm_add_relu(y, x);
  }
  /// What the two ReLUs are applied to.
  HostArray before_relus(const Tensor& x) {
    HostArray all;
    PendingNorm y = conv_bn(conv1, bn1, x, Mode::train);
    const std::vector<float> first = norm(y).to_vector();
    y = conv_bn(conv2, bn2, y, Mode::train);
    const std::vector<float> second = norm(y).to_vector();
    const std::vector<float> shortcut = x.to_vector();
    all.insert(all.end(), first.begin(), first.end());
    std::ranges::transform(second, shortcut, std::back_inserter(all), std::plus());
    return all;
  }
  Shape summarize(const std::string&, const Shape& input, std::vector<LayerSummary>&) const override { return input; }

  Conv2d conv1, conv2;
  BatchNorm2d bn1, bn2;
};

/// A block with its store, and what a step leaves.
struct Trained {
  Block block;
  ParameterStore store{block};
  Tensor y;

  Trained() { initialize(store, 7); }
  void step(const Tensor& x, const Tensor& projection) {
    store.zero_grad();
    y = block.forward(x, Mode::train);
    backward(projected(y, projection));
    store.commit_statistics(0.1f, nullptr);
  }
};

Tensor images_of(const Tensor& x, int64_t first, int64_t count) {
  return x.slice(first * (x.size() / x.dim(0)), {count, x.dim(1), x.dim(2), x.dim(3)});
}

HostArray doubles(const Tensor& x) {
  const std::vector<float> values = x.to_vector();
  return {values.begin(), values.end()};
}

/// An input whose ReLUs are far enough from their kinks that rounding changes nothing.
Tensor draw_input(Random& random, const Shape& shape) {
  for (;;) {
    HostArray values(static_cast<size_t>(shape.size()));
    uniform(-1, 1)(random, values);
    const Tensor x = to_tensor(values, shape, DType::f32, {});
    Trained one;
    const HostArray y = one.block.before_relus(x);
    if (std::ranges::none_of(y, [](double v) { return std::fabs(v) < 1e-4; })) {
      return x;
    }
  }
}

void expect_the_network_of_one_rank(const std::vector<int64_t>& shares) {
  SCOPED_TRACE(fmt::format("{} ranks", shares.size()));
  Random random("network");
  const int64_t images = std::accumulate(shares.begin(), shares.end(), int64_t{0});
  const Tensor x = draw_input(random, {images, 4, 3, 3});
  const Tensor projection = to_tensor(draw_projection(x.size(), DType::f32, random), x.shape(), DType::f32, {});
  Trained one;
  one.step(x, projection);

  std::vector<std::unique_ptr<Trained>> ranks(shares.size());
  run_ranks(static_cast<int64_t>(shares.size()), [&](Communicator& communicator) {
    const auto rank = static_cast<size_t>(communicator.rank());
    const int64_t first = std::accumulate(shares.begin(), shares.begin() + communicator.rank(), int64_t{0});
    ranks[rank] = std::make_unique<Trained>();
    ranks[rank]->store.synchronize_norms(communicator);
    ranks[rank]->step(images_of(x, first, shares[rank]), images_of(projection, first, shares[rank]));
  });

  HostArray y;
  for (const auto& rank : ranks) {
    const HostArray part = doubles(rank->y);
    y.insert(y.end(), part.begin(), part.end());
  }
  EXPECT_TRUE(close(one.y, y, 1e-5));
  for (size_t i = 0; i < one.store.parameters().size(); ++i) {
    HostArray sum(one.store.parameters()[i]->value.to_vector().size());
    for (const auto& rank : ranks) {
      std::ranges::transform(sum, doubles(rank->store.parameters()[i]->value.grad()), sum.begin(), std::plus());
    }
    EXPECT_TRUE(close(one.store.parameters()[i]->value.grad(), sum, 2e-5)) << one.store.parameters()[i]->name;
  }
  const StatisticsArena& want = one.store.statistics_arena();
  for (const auto& rank : ranks) {
    const StatisticsArena& got = rank->store.statistics_arena();
    const StatisticsArena& first = ranks[0]->store.statistics_arena();
    for (const auto member :
         {&StatisticsArena::batch_mean, &StatisticsArena::batch_variance, &StatisticsArena::bessel_correction,
          &StatisticsArena::running_mean, &StatisticsArena::running_variance}) {
      EXPECT_TRUE(close(got.*member, doubles(want.*member), 1e-5));
      EXPECT_TRUE(same_bits(got.*member, first.*member));
    }
  }
}

TEST(SynchronizedNorms, MakeTheNetworkOfOneRank) {
  expect_the_network_of_one_rank({2, 1});
  expect_the_network_of_one_rank({3, 3});
  expect_the_network_of_one_rank({1, 3, 2});
}

TEST(SynchronizedNorms, ASingleRowOfEachRankIsABatch) {
  run_ranks(2, [](Communicator& ranks) {
    BatchNorm2d layer(1);
    ParameterStore store(layer);
    initialize(store, 0);
    store.synchronize_norms(ranks);
    const Tensor y = layer.forward(full({1, 1, 1, 1}, static_cast<float>(4 * ranks.rank()), DType::f32), Mode::train);
    EXPECT_NEAR(y.to_vector().at(0), ranks.leads() ? -1 : 1, 1e-5);
    store.commit_statistics(0.5f, nullptr);
    EXPECT_FLOAT_EQ(layer.statistics.running_variance.to_vector().at(0), 0.5f + 0.5f * 8);  // 4 * 2 / (2 - 1)
  });
}

TEST(SynchronizedNorms, OneRankRunsTheCodeOfNone) {
  Random random("one rank");
  const Tensor x = draw_input(random, {2, 4, 3, 3});
  Trained none;
  none.step(x, x);
  NoCalls alone(0, 1);
  Trained one;
  one.store.synchronize_norms(alone);
  one.step(x, x);
  EXPECT_TRUE(same_bits(one.y, none.y));
  EXPECT_TRUE(same_bits(one.store.matrices().gradient, none.store.matrices().gradient));
  EXPECT_TRUE(same_bits(one.store.statistics_arena().running_variance, none.store.statistics_arena().running_variance));
}

TEST(SynchronizedNorms, FrozenNormsAskNoOtherRank) {
  Trained frozen;
  NoCalls two(0, 2);
  frozen.store.synchronize_norms(two);
  frozen.block.bn1.statistics.frozen = frozen.block.bn2.statistics.frozen = true;
  const Tensor x = full({2, 4, 3, 3}, 0.5f, DType::f32);
  EXPECT_NO_THROW(frozen.step(x, x));
  EXPECT_NO_THROW(frozen.block.forward(x, Mode::evaluate));
  frozen.block.bn2.statistics.frozen = false;
  EXPECT_TRUE(fails_with([&] { frozen.block.forward(x, Mode::train); }, {"gather_rows was called"}));
}

TEST(SynchronizedNorms, ExcludeGroups) {
  const auto expect_refused = [](const std::function<void()>& f) {
    try {
      f();
      ADD_FAILURE() << "groups and ranks were accepted together";
    } catch (const UsageError& error) {
      EXPECT_EQ(error.setting(), "sync-bn");
      EXPECT_NE(std::string(error.what()).find("groups of 2 images"), std::string::npos) << error.what();
    }
  };
  NoCalls two(0, 2);
  Trained groups_first;
  groups_first.store.set_group_images(2);
  expect_refused([&] { groups_first.store.synchronize_norms(two); });
  Trained ranks_first;
  ranks_first.store.synchronize_norms(two);
  expect_refused([&] { ranks_first.store.set_group_images(2); });
  EXPECT_NO_THROW(ranks_first.store.set_group_images(0));
}

}  // namespace
}  // namespace residua::test
