#include "core/optim/gradient_buckets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "core/autograd/tape.h"
#include "core/nn/initialization.h"
#include "core/ops/softmax_cross_entropy.h"
#include "models/resnet.h"
#include "tests/support/compare.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

/// Notes which memory is summed, and doubles it, as two ranks with the same gradients would.
class Doubling final : public Communicator {
 public:
  Doubling() : Communicator(0, 2) {}
  std::vector<std::string> gather(const std::string& value) override { return {value, value}; }
  void sum(const Tensor& x) override {
    started.push_back(x);
    events.emplace_back("sum");
  }
  void broadcast(const Tensor&) override {}
  void gather_rows(const Tensor&) override {}
  void finish() override {
    for (size_t i = finished; i < started.size(); ++i) {
      std::vector<float> values = started[i].to_vector();
      std::ranges::transform(values, values.begin(), [](float value) { return 2 * value; });
      started[i].copy_from(values);
    }
    finished = started.size();
  }
  [[noreturn]] void abort(int code) override { std::_Exit(code); }

  std::vector<Tensor> started;
  std::vector<std::string> events;
  size_t finished = 0;
};

struct Net {
  Net() { initialize(store, 3, FanMode::fan_in); }
  Tensor loss() {
    std::vector<float> pixels(size_t{2} * 8 * 8 * 3);
    for (size_t i = 0; i < pixels.size(); ++i) {
      pixels[i] = static_cast<float>(i % 7) - 3.0f;
    }
    const Tensor labels = empty({2}, DType::i32);
    labels.span<int32_t>()[0] = 1;
    labels.span<int32_t>()[1] = 4;
    return softmax_cross_entropy(model.forward(from_values({2, 8, 8, 3}, pixels), Mode::train), labels, 0.0f).loss;
  }
  void backward_with(GradientBuckets& buckets) {
    backward(loss(), full({}, 1.0f, DType::f32), [&](const AutogradMeta& leaf) { buckets.complete(leaf); });
  }

  ResNet model{[] {
    ResNetConfig config = named_resnet("resnet20");
    config.blocks = {1, 1, 1};
    config.width = 4;
    config.classes = 5;
    return config;
  }()};
  ParameterStore store{model};
};

std::vector<float> gradients_of(const ParameterStore& store) {
  std::vector<float> all;
  for (const ParameterArena* arena : {&store.matrices(), &store.vectors()}) {
    const std::vector<float> values = arena->gradient.slice(arena->frozen, {arena->size - arena->frozen}).to_vector();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

TEST(GradientBuckets, SumEachGradientOnceAndTheLastLayersFirst) {
  for (const int64_t bytes : {int64_t{1}, int64_t{2000}, int64_t{1} << 30}) {
    Net alone;
    backward(alone.loss(), full({}, 1.0f, DType::f32));
    Net net;
    Doubling ranks;
    GradientBuckets buckets(net.store, ranks, bytes);
    for (int step = 0; step < 2; ++step) {  // the second step like the first
      net.store.zero_grad();
      ranks.started.clear();
      ranks.finished = 0;
      net.backward_with(buckets);
      buckets.finish();
      ASSERT_EQ(ranks.started.size(), buckets.buckets().size());
      std::vector<float> expected = gradients_of(alone.store);
      std::ranges::transform(expected, expected.begin(), [](float value) { return 2 * value; });
      EXPECT_EQ(gradients_of(net.store), expected) << bytes;
    }
    int64_t parameters = 0;
    for (const auto& bucket : buckets.buckets()) {
      parameters += bucket.parameters;
    }
    EXPECT_EQ(parameters, static_cast<int64_t>(net.store.parameters().size()));
    const auto place = [&](const char* name) {
      const auto* own = static_cast<const std::byte*>(net.store.parameter(name).gradient.data());
      return std::ranges::find_if(buckets.buckets(), [&](const GradientBuckets::Bucket& bucket) {
        const auto* begin = static_cast<const std::byte*>(bucket.gradients.data());
        return begin <= own && own < begin + bucket.gradients.bytes();
      });
    };
    const bool one_each = buckets.buckets().size() == 2;
    EXPECT_TRUE(one_each || place("fc.weight") < place("layer2.0.conv1.weight")) << bytes;
    EXPECT_TRUE(one_each || place("layer2.0.conv1.weight") < place("conv1.weight")) << bytes;
  }
}

TEST(GradientBuckets, StartBeforeBackwardHasReachedTheFirstLayer) {
  Net net;
  Doubling ranks;
  GradientBuckets buckets(net.store, ranks, 2000);
  ASSERT_GT(buckets.buckets().size(), 3u);
  const AutogradMeta* first_layer = net.store.parameter("conv1.weight").value.autograd().get();
  size_t started_before = 0;
  backward(net.loss(), full({}, 1.0f, DType::f32), [&](const AutogradMeta& leaf) {
    if (&leaf == first_layer) {
      started_before = ranks.started.size();
    }
    buckets.complete(leaf);
  });
  EXPECT_GE(started_before, buckets.buckets().size() / 2);
  buckets.finish();
}

TEST(GradientBuckets, LeaveFrozenParametersOut) {
  Net net;
  net.store.freeze_until("layer2");
  Doubling ranks;
  GradientBuckets buckets(net.store, ranks, 2000);
  net.backward_with(buckets);
  buckets.finish();
  int64_t parameters = 0;
  for (const auto& bucket : buckets.buckets()) {
    parameters += bucket.parameters;
  }
  EXPECT_EQ(parameters, std::ranges::count_if(net.store.parameters(), [](const Parameter* p) { return !p->frozen; }));
  for (const Tensor& part : ranks.started) {
    EXPECT_THAT(part.to_vector(), testing::Each(testing::Truly([](float value) { return std::isfinite(value); })));
  }
}

TEST(GradientBuckets, AMissingGradientIsAnError) {
  for (const char* missing : {"conv1.weight", "layer2.0.conv1.weight", "fc.bias"}) {
    Net net;
    Doubling ranks;
    GradientBuckets buckets(net.store, ranks, 2000);
    const AutogradMeta* left_out = net.store.parameter(missing).value.autograd().get();
    backward(net.loss(), full({}, 1.0f, DType::f32), [&](const AutogradMeta& leaf) {
      if (&leaf != left_out) {
        buckets.complete(leaf);
      }
    });
    // Those behind it wait for it too.
    const size_t incomplete = buckets.buckets().size() - ranks.started.size();
    EXPECT_GT(incomplete, 0u) << missing;
    EXPECT_TRUE(fails_with([&] { buckets.finish(); },
                           {fmt::format("{} of {} gradient buckets are incomplete", incomplete, buckets.buckets().size())}))
        << missing;
  }
}

}  // namespace
}  // namespace residua::test
