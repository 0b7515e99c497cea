#include "models/resnet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <vector>

#include "core/autograd/tape.h"
#include "core/nn/initialization.h"
#include "core/nn/parameter_store.h"
#include "core/nn/summary.h"
#include "core/ops/softmax_cross_entropy.h"
#include "models/resnet.h"
#include "tests/models/torchvision_resnet18.h"

namespace residua::test {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

int64_t parameter_count(ResNetConfig config) {
  ResNet model(std::move(config));
  int64_t count = 0;
  for (const Parameter* parameter : model.parameters()) {
    count += parameter->logical.size();
  }
  return count;
}

ResNetConfig with_shortcut(std::string_view name, Shortcut shortcut) {
  return configured(named_resnet(name), {.shortcut = shortcut});
}

ModelSummary summary_of(const ResNetConfig& config, const Shape& input) { return summarize(ResNet(config), input); }

TEST(ResNetTest, ParameterCountsAreTorchvisions) {
  EXPECT_EQ(parameter_count(named_resnet("resnet18")), 11'689'512);
  EXPECT_EQ(parameter_count(named_resnet("resnet34")), 21'797'672);
  EXPECT_EQ(parameter_count(named_resnet("resnet50")), 25'557'032);
  EXPECT_EQ(parameter_count(named_resnet("resnet101")), 44'549'160);
  EXPECT_EQ(parameter_count(named_resnet("resnet152")), 60'192'808);
}

// He et al. 2015, table 6, in millions.
TEST(ResNetTest, ParameterCountsOnCifarAreThePapers) {
  const std::map<std::string, double> published = {{"resnet20", 0.27}, {"resnet32", 0.46},  {"resnet44", 0.66},
                                                   {"resnet56", 0.85}, {"resnet110", 1.73}, {"resnet1202", 19.4}};
  for (const auto& [name, millions] : published) {
    EXPECT_NEAR(static_cast<double>(parameter_count(named_resnet(name))) * 1e-6, millions, 0.01 * std::max(millions, 0.5))
        << name;
  }
}

TEST(ResNetTest, PlainNetworksAndTheirResidualTwinsHaveEqualCounts) {
  for (const char* depth : {"18", "34", "20", "32", "44", "56", "110"}) {
    EXPECT_EQ(parameter_count(named_resnet(std::string("plain") + depth)),
              parameter_count(with_shortcut(std::string("resnet") + depth, Shortcut::a)))
        << depth;
  }
}

TEST(ResNetTest, ShortcutsAddTheProjectionsAndNothingElse) {
  const int64_t a = parameter_count(with_shortcut("resnet34", Shortcut::a));
  const auto projection = [](int64_t in, int64_t out) { return in * out + 2 * out; };
  const int64_t changing = projection(64, 128) + projection(128, 256) + projection(256, 512);
  EXPECT_EQ(parameter_count(with_shortcut("resnet34", Shortcut::b)), a + changing);
  EXPECT_EQ(
      parameter_count(with_shortcut("resnet34", Shortcut::c)),
      a + changing + 3 * projection(64, 64) + 3 * projection(128, 128) + 5 * projection(256, 256) + 2 * projection(512, 512));
}

TEST(ResNetTest, NamesAndShapesAreTorchvisions) {
  ResNet model(named_resnet("resnet18"));
  std::map<std::string, std::string> got;
  for (const Parameter* parameter : model.parameters()) {
    got[parameter->name] = parameter->logical.string();
  }
  for (const RunningStatistics* statistics : model.statistics()) {
    got[statistics->name + ".running_mean"] = Shape{statistics->channels}.string();
    got[statistics->name + ".running_var"] = Shape{statistics->channels}.string();
  }
  std::map<std::string, std::string> wanted;
  for (const auto& [name, shape] : kTorchvisionResnet18) {
    wanted[std::string(name)] = shape;
  }
  EXPECT_THAT(got, ElementsAreArray(wanted));
}

TEST(ResNetTest, ParametersComeInTorchvisionsOrder) {
  ResNet model(named_resnet("resnet18"));
  std::vector<std::string> got;
  for (const Parameter* parameter : model.parameters()) {
    got.push_back(parameter->name);
  }
  std::vector<std::string> wanted;
  for (const auto& [name, shape] : kTorchvisionResnet18) {
    if (!name.ends_with("running_mean") && !name.ends_with("running_var")) {
      wanted.emplace_back(name);
    }
  }
  EXPECT_THAT(got, ElementsAreArray(wanted));
}

TEST(ResNetTest, BottlenecksAreNamedAsTorchvisions) {
  ResNet model(named_resnet("resnet50"));
  std::map<std::string, std::string> got;
  for (const Parameter* parameter : model.parameters()) {
    got[parameter->name] = parameter->logical.string();
  }
  EXPECT_EQ(got.size(), 161u);
  EXPECT_EQ(got["layer1.0.downsample.0.weight"], "[256, 64, 1, 1]");
  EXPECT_EQ(got["layer1.0.downsample.1.bias"], "[256]");
  EXPECT_EQ(got["layer3.5.conv3.weight"], "[1024, 256, 1, 1]");
  EXPECT_EQ(got["layer4.0.conv2.weight"], "[512, 512, 3, 3]");
  EXPECT_EQ(got["fc.weight"], "[1000, 2048]");
}

// Multiply-adds of He et al. 2015, table 1; for ResNet-50 the table's network has the stride in the first 1x1 convolution.
TEST(ResNetTest, CostsAreThePapers) {
  const auto billions = [](const ResNetConfig& config) {
    return static_cast<double>(summary_of(config, {1, 224, 224, 3}).multiply_adds) * 1e-9;
  };
  EXPECT_NEAR(billions(named_resnet("plain18")), 1.8, 0.05);
  EXPECT_NEAR(billions(with_shortcut("resnet34", Shortcut::a)), 3.6, 0.1);
  ResNetConfig resnet50 = named_resnet("resnet50");
  EXPECT_NEAR(billions(resnet50), 4.09, 0.01);  // torchvision's own number
  resnet50.bottleneck_stride = BottleneckStride::conv1x1;
  EXPECT_NEAR(billions(resnet50), 3.8, 0.1);
}

TEST(ResNetTest, SummaryCountsWhatTheModelHas) {
  for (const char* name : {"plain18", "resnet34", "resnet50", "resnet20"}) {
    const ModelSummary summary = summary_of(named_resnet(name), {2, 64, 64, 3});
    EXPECT_EQ(summary.parameters, parameter_count(named_resnet(name))) << name;
    EXPECT_EQ(summary.output, (Shape{2, named_resnet(name).classes})) << name;
    EXPECT_EQ(summary.layers.front().name, "conv1");
    EXPECT_EQ(summary.layers.back().name, "fc");
  }
}

TEST(ResNetTest, SummaryRefusesAnInputOfOtherChannels) {
  try {
    summary_of(named_resnet("resnet20"), {1, 32, 32, 1});
    FAIL() << "an input of one channel was taken";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("conv1: the input is [1, 32, 32, 1], wanted [N, H, W, 3]"));
  }
}

TEST(ResNetTest, SummaryTableShowsLayersAndTotals) {
  const std::string table = summary_of(named_resnet("resnet18"), {1, 224, 224, 3}).table();
  EXPECT_THAT(table, HasSubstr("convolution 7x7, stride 2"));
  EXPECT_THAT(table, HasSubstr("[1, 112, 112, 64]"));
  EXPECT_THAT(table, HasSubstr("layer2.0.downsample.0"));
  EXPECT_THAT(table, HasSubstr("11689512 parameters"));
  EXPECT_THAT(table, HasSubstr("1.814 G multiply-adds"));
}

/// A narrow relative of a catalog network: the same code paths at a hundredth of the cost.
ResNetConfig narrow(ResNetConfig config) {
  config.width = 4;
  config.classes = 5;
  for (int64_t& blocks : config.blocks) {
    blocks = std::min<int64_t>(blocks, 2);
  }
  return config;
}

TEST(ResNetTest, EveryNetworkTakesAnyInputSize) {
  for (const ResNetConfig& named : named_resnets()) {
    for (const Shortcut shortcut : {Shortcut::a, Shortcut::b, Shortcut::c}) {
      ResNetConfig config = narrow(named);
      if (config.shortcut != Shortcut::none) {
        config.shortcut = shortcut;
      }
      ResNet model(config);
      ParameterStore store(model, {.purpose = Purpose::inference});
      initialize(store, 1);
      const Tensor x = full({2, 37, 22, 3}, 0.5f, DType::f32);
      const Tensor logits = model.forward(x, Mode::evaluate);
      EXPECT_EQ(logits.shape(), (Shape{2, 5})) << named.name;
      EXPECT_EQ(logits.shape(), summary_of(config, x.shape()).output) << named.name;
      for (const float value : logits.to_vector()) {
        EXPECT_TRUE(std::isfinite(value)) << named.name;
      }
    }
  }
}

TEST(ResNetTest, BackwardReachesEveryParameter) {
  for (const Shortcut shortcut : {Shortcut::none, Shortcut::a, Shortcut::b, Shortcut::c}) {
    for (const BlockKind block : {BlockKind::basic, BlockKind::bottleneck}) {
      ResNetConfig config{.block = block, .blocks = {1, 2}, .width = 4, .shortcut = shortcut, .classes = 3};
      ResNet model(config);
      ParameterStore store(model);
      initialize(store, 3);
      std::vector<float> pixels(2 * 16 * 16 * 3);
      for (size_t i = 0; i < pixels.size(); ++i) {
        pixels[i] = std::sin(static_cast<float>(i));
      }
      const Tensor logits = model.forward(from_values({2, 16, 16, 3}, pixels), Mode::train);
      const Tensor labels = from_values({2}, std::vector<float>{0, 2}, DType::i32);
      backward(softmax_cross_entropy(logits, labels).loss);
      for (const Parameter* parameter : store.parameters()) {
        EXPECT_TRUE(parameter->value.grad().defined()) << parameter->name;
      }
    }
  }
}

// A stored input may have more channels than the network knows: the fourth is zero, and so are its weights.
TEST(ResNetTest, PaddedInputChannelsChangeNothing) {
  ResNetConfig config = narrow(named_resnet("resnet18"));
  ResNet model(config);
  config.stored_in_channels = 4;
  ResNet padded(config);
  ParameterStore store(model, {.purpose = Purpose::inference});
  ParameterStore padded_store(padded, {.purpose = Purpose::inference});
  initialize(store, 5);
  initialize(padded_store, 5);
  std::vector<float> pixels;
  std::vector<float> padded_pixels;
  for (int i = 0; i < 16 * 16; ++i) {
    for (int c = 0; c < 3; ++c) {
      pixels.push_back(std::cos(static_cast<float>(3 * i + c)));
      padded_pixels.push_back(pixels.back());
    }
    padded_pixels.push_back(0.0f);
  }
  EXPECT_EQ(padded.input_channels(), 4);
  const std::vector<float> wanted = model.forward(from_values({1, 16, 16, 3}, pixels), Mode::evaluate).to_vector();
  const std::vector<float> got = padded.forward(from_values({1, 16, 16, 4}, padded_pixels), Mode::evaluate).to_vector();
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_NEAR(got[i], wanted[i], 1e-5f * (1 + std::fabs(wanted[i])));
  }
}

TEST(ResNetTest, BadConfigsAreRefused) {
  EXPECT_THROW(ResNet(ResNetConfig{.blocks = {}}), UsageError);
  EXPECT_THROW(ResNet(ResNetConfig{.blocks = {2, 0}}), UsageError);
  EXPECT_THROW(ResNet(ResNetConfig{.width = -1}), UsageError);
  EXPECT_THROW(ResNet(ResNetConfig{.classes = 0}), UsageError);
  EXPECT_THROW(ResNet(ResNetConfig{.in_channels = 3, .stored_in_channels = 2}), UsageError);
}

}  // namespace
}  // namespace residua::test
