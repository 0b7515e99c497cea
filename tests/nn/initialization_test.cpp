#include "core/nn/initialization.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "models/resnet.h"

namespace residua::test {
namespace {

using ::testing::Each;
using ::testing::ElementsAreArray;

struct Moments {
  double mean, deviation, kurtosis;
};

Moments moments(const std::vector<float>& values) {
  const double n = static_cast<double>(values.size());
  double mean = 0;
  for (const float value : values) {
    mean += value / n;
  }
  double second = 0;
  double fourth = 0;
  for (const float value : values) {
    const double square = (value - mean) * (value - mean);
    second += square / n;
    fourth += square * square / n;
  }
  return {mean, std::sqrt(second), fourth / (second * second)};
}

/// Holds a sample of a normal distribution to its moments, five standard errors wide.
void expect_normal(const std::vector<float>& values, double deviation) {
  const double n = static_cast<double>(values.size());
  const Moments m = moments(values);
  EXPECT_LT(std::fabs(m.mean), 5 * deviation / std::sqrt(n));
  EXPECT_NEAR(m.deviation / deviation, 1.0, 5 / std::sqrt(2 * n));
  EXPECT_NEAR(m.kurtosis, 3.0, 5 * std::sqrt(24 / n));
}

TEST(InitializationTest, WeightsAreHeNormal) {
  ResNet model(named_resnet("resnet18"));
  ParameterStore store(model, {.purpose = Purpose::inference});
  initialize(store, 7);
  expect_normal(store.parameter("conv1.weight").master.to_vector(), std::sqrt(2.0 / (3 * 7 * 7)));
  expect_normal(store.parameter("layer4.0.conv1.weight").master.to_vector(), std::sqrt(2.0 / (256 * 3 * 3)));
  expect_normal(store.parameter("layer4.0.downsample.0.weight").master.to_vector(), std::sqrt(2.0 / 256));
  expect_normal(store.parameter("fc.weight").master.to_vector(), std::sqrt(2.0 / 512));
  EXPECT_THAT(store.parameter("layer1.0.bn2.weight").master.to_vector(), Each(1.0f));
  EXPECT_THAT(store.parameter("layer1.0.bn2.bias").master.to_vector(), Each(0.0f));
  EXPECT_THAT(store.parameter("fc.bias").master.to_vector(), Each(0.0f));
}

TEST(InitializationTest, FanOutCountsTheOutputs) {
  ResNet model(named_resnet("resnet18"));
  ParameterStore store(model, {.purpose = Purpose::inference});
  initialize(store, 7, FanMode::fan_out);
  expect_normal(store.parameter("conv1.weight").master.to_vector(), std::sqrt(2.0 / (64 * 7 * 7)));
  expect_normal(store.parameter("layer4.0.downsample.0.weight").master.to_vector(), std::sqrt(2.0 / 512));
  expect_normal(store.parameter("fc.weight").master.to_vector(), std::sqrt(2.0 / 512));
}

TEST(InitializationTest, ZeroGammaIsThatOfTheLastNormOfEachResidualBlock) {
  for (const char* name : {"resnet18", "resnet50", "resnet20", "plain20"}) {
    ResNet model(named_resnet(name));
    const ResNetConfig& config = named_resnet(name);
    const bool residual = config.shortcut != Shortcut::none;
    const std::string last = config.block == BlockKind::basic ? ".bn2.weight" : ".bn3.weight";
    for (const bool zero : {false, true}) {
      ParameterStore store(model, {.purpose = Purpose::inference});
      initialize(store, 7, FanMode::fan_in, zero);
      int64_t zeros = 0;
      for (const Parameter* parameter : store.parameters()) {
        if (parameter->logical.rank() == 1 && parameter->name.ends_with(".weight")) {
          const bool is_last = residual && parameter->name.ends_with(last);
          EXPECT_THAT(parameter->master.to_vector(), Each(zero && is_last ? 0.0f : 1.0f)) << parameter->name;
          zeros += is_last ? 1 : 0;
        }
      }
      EXPECT_EQ(zeros, residual ? std::accumulate(config.blocks.begin(), config.blocks.end(), int64_t{0}) : 0) << name;
    }
  }
}

std::vector<float> weights(ResNetConfig spec, uint64_t seed, const char* name) {
  ResNet model(std::move(spec));
  ParameterStore store(model, {.purpose = Purpose::inference});
  initialize(store, seed);
  const Parameter& parameter = store.parameter(name);
  return to_logical(parameter, parameter.master);
}

TEST(InitializationTest, DependsOnSeedAndNameAlone) {
  const ResNetConfig spec = named_resnet("resnet20");
  const std::vector<float> reference = weights(spec, 1, "layer1.1.conv2.weight");
  EXPECT_THAT(weights(spec, 1, "layer1.1.conv2.weight"), ElementsAreArray(reference));
  EXPECT_THAT(weights(named_resnet("plain56"), 1, "layer1.1.conv2.weight"), ElementsAreArray(reference));
  EXPECT_NE(weights(spec, 2, "layer1.1.conv2.weight"), reference);
  EXPECT_NE(weights(spec, 1, "layer1.1.conv1.weight"), reference);
}

TEST(InitializationTest, DoesNotDependOnHowTheModelIsStored) {
  ResNetConfig spec = named_resnet("resnet20");
  const std::vector<float> reference = weights(spec, 1, "conv1.weight");
  spec.stored_in_channels = 8;
  EXPECT_THAT(weights(spec, 1, "conv1.weight"), ElementsAreArray(reference));
}

TEST(InitializationTest, StartsOver) {
  ResNet model(named_resnet("resnet20"));
  ParameterStore store(model, {.compute = DType::bf16});
  const Parameter& weight = store.parameter("layer3.2.conv2.weight");
  weight.velocity.copy_from(full(weight.shape, 3.0f, DType::f32));
  store.statistics()[2]->running_mean.copy_from(full({16}, 3.0f, DType::f32));
  store.batches_tracked = 9;
  initialize(store, 4);
  EXPECT_THAT(weight.velocity.to_vector(), Each(0.0f));
  EXPECT_THAT(store.statistics()[2]->running_mean.to_vector(), Each(0.0f));
  EXPECT_EQ(store.batches_tracked, 0);
  EXPECT_EQ(weight.value.dtype(), DType::bf16);
  EXPECT_EQ(weight.value.to_vector()[5], to_float(from_float<bf16>(weight.master.to_vector()[5])));
}

}  // namespace
}  // namespace residua::test
