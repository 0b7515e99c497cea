// Responses and gradients by layer, against layers run alone and against a step of SGD.
#include "core/train/layer_statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/nn/layers.h"
#include "core/nn/state_dict.h"
#include "core/ops/prepare_input.h"
#include "core/train/training.h"
#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/small_run.h"

namespace residua::test {
namespace {

/// Standard deviation of all values.
double deviation(const std::vector<float>& values) {
  double sum = 0, squares = 0;
  for (const float value : values) {
    sum += value;
    squares += static_cast<double>(value) * value;
  }
  const auto n = static_cast<double>(values.size());
  return std::sqrt(squares / n - sum / n * sum / n);
}

double euclidean(const std::vector<float>& values) {
  double squares = 0;
  for (const float value : values) {
    squares += static_cast<double>(value) * value;
  }
  return std::sqrt(squares);
}

/// Weights of two steps whose norms are drawn anew: gamma far from 1, beta far from 0.
std::string odd_weights(const TemporaryFolder& folder) {
  SmallRun run(folder / "first");
  EXPECT_EQ(run.set("iterations", {"2"}).train(), 0);
  ParameterStore& store = run.trainer().store();
  float value = 0.3f;
  for (Parameter* parameter : store.parameters()) {
    if (parameter->name.find("bn") != std::string::npos) {
      std::vector<float> values(static_cast<size_t>(parameter->shape.size()));
      for (float& x : values) {
        x = value = std::fmod(value * 1.7f + 0.11f, 2.0f);
      }
      parameter->master.copy_from(values);
    }
  }
  store.masters_changed();
  SafetensorsMetadata metadata = network_metadata(run.network());
  metadata["iteration"] = "2";
  save_weights(folder / "odd.safetensors", snapshot(store), metadata);
  return folder / "odd.safetensors";
}

const LayerStatistics& layer(const NetworkStatistics& statistics, const std::string& name) {
  for (const LayerStatistics& layer : statistics.layers) {
    if (layer.name == name) {
      return layer;
    }
  }
  fail("there is no layer {}", name);
}

TEST(LayerStatistics, ResponsesAreThoseOfTheLayers) {
  const TemporaryFolder folder;
  SmallRun run(folder / "measured");
  run.set("weights", {odd_weights(folder)});
  Network& network = run.network();
  // The first convolution and its norm, alone.
  const Safetensors file = load_safetensors(folder / "odd.safetensors");
  const std::unique_ptr<Loader> loader = training_loader(run.training, run.config, run.network().input, Device{});
  InputFormat format = input_format(network, DType::f32, Device{});
  format.height = format.width = 16;
  struct Pair final : Module {
    explicit Pair(int64_t stored)
        : conv1({.in_channels = 3, .out_channels = 16, .kernel = 3, .padding = 1, .stored_in_channels = stored}), bn1(16) {
      add_child("conv1", conv1);
      add_child("bn1", bn1);
    }
    Tensor forward(const Tensor& input, Mode mode) override { return bn1.forward(conv1.forward(input), mode); }
    Shape summarize(const std::string&, const Shape& input, std::vector<LayerSummary>&) const override { return input; }
    Conv2d conv1;
    BatchNorm2d bn1;
  } pair(network.input_channels);
  ParameterStore store(pair, {});
  for (const char* name : {"conv1.weight", "bn1.weight", "bn1.bias"}) {
    Parameter& parameter = store.parameter(name);
    from_logical(parameter, file.find(name)->to_floats(), parameter.master);
  }
  store.masters_changed();
  for (const int64_t batches : {1, 3}) {
    const NetworkStatistics got =
        measure_layers(network, run.training, run.config, Device{}, DType::f32, batches, run.observer);
    EXPECT_EQ(got.iteration, 2);
    std::vector<float> responses;
    loader->start(0);
    for (int64_t i = 0; i < batches; ++i) {
      const Batch* batch = loader->next();
      const Tensor x = prepare_input(batch->images, batch->views, format);
      const std::vector<float> some = pair.forward(x, Mode::train).to_vector();
      responses.insert(responses.end(), some.begin(), some.end());
    }
    const double wanted = deviation(responses);
    EXPECT_NEAR(layer(got, "conv1").response_std, wanted, 1e-4 * wanted);
    EXPECT_NEAR(layer(got, "conv1").weight_norm, euclidean(file.find("conv1.weight")->to_floats()), 1e-5);
  }
}

// With such a classifier the gradients that reach the last block do not fit into fp16 at the first scale.
TEST(LayerStatistics, AnOverflowIsMeasuredAtASmallerScale) {
  const TemporaryFolder folder;
  {
    SmallRun run(folder / "first");
    ParameterStore& store = run.trainer().store();
    Parameter& classifier = store.parameter("fc.weight");
    std::vector<float> values = classifier.master.to_vector();
    for (float& value : values) {
      value *= 2e4f;
    }
    classifier.master.copy_from(values);
    save_weights(folder / "large.safetensors", snapshot(store), network_metadata(run.network()));
  }
  const auto measured = [&](DType precision) {
    SmallRun run("no folder");
    run.set("weights", {folder / "large.safetensors"}).set("precision", {precision == DType::f16 ? "fp16" : "fp32"});
    return measure_layers(run.network(), run.training, run.config, Device{}, precision, 1, run.observer);
  };
  const NetworkStatistics half = measured(DType::f16);
  const NetworkStatistics full = measured(DType::f32);
  ASSERT_GT(full.layers.back().gradient_norm, 100);
  for (size_t i = 0; i < full.layers.size(); ++i) {
    ASSERT_FALSE(std::isnan(half.layers[i].gradient_norm)) << full.layers[i].name;
    EXPECT_NEAR(half.layers[i].gradient_norm, full.layers[i].gradient_norm, 0.1 * full.layers[i].gradient_norm);
  }
}

// A step without momentum and decay moves each weight by rate * gradient.
TEST(LayerStatistics, GradientsAreThoseOfAStep) {
  for (const DType precision : {DType::f32, DType::f16}) {
    const TemporaryFolder folder;
    SmallRun run(folder / "run");
    run.set("momentum", {"0"}).set("weight-decay", {"0"}).set("precision", {precision == DType::f32 ? "fp32" : "fp16"});
    Network& network = run.network();
    const NetworkStatistics got = measure_layers(network, run.training, run.config, Device{}, precision, 1, run.observer);
    Training training(network, run.config, Device{}, precision);
    std::map<std::string, std::vector<float>> before;
    for (const Parameter* parameter : training.store().parameters()) {
      before[parameter->name] = to_logical(*parameter, parameter->master);
    }
    const std::unique_ptr<Loader> loader = training_loader(run.training, run.config, run.network().input, Device{});
    loader->start(0);
    constexpr float kRate = 0.5f;
    training.scaler().set_learning_rate(kRate);
    training.step().train(*loader->next());
    EXPECT_NEAR(training.step().metrics().read().loss, got.loss, 1e-2);
    for (const LayerStatistics& measured : got.layers) {
      const Parameter& weight = training.store().parameter(measured.name + ".weight");
      std::vector<float> moved = to_logical(weight, weight.master);
      for (size_t i = 0; i < moved.size(); ++i) {
        moved[i] -= before[weight.name][i];
      }
      const double wanted = euclidean(moved) / kRate;
      EXPECT_GT(wanted, 0) << measured.name;
      EXPECT_NEAR(measured.gradient_norm, wanted, (precision == DType::f32 ? 1e-3 : 2e-2) * wanted) << measured.name;
    }
  }
}

TEST(LayerStatistics, AreMeansOverBatchesInTheOrderOfExecution) {
  SmallRun run("no folder");
  Network& network = run.network();
  const NetworkStatistics one = measure_layers(network, run.training, run.config, Device{}, DType::f32, 1, run.observer);
  const NetworkStatistics six = measure_layers(network, run.training, run.config, Device{}, DType::f32, 6, run.observer);
  ASSERT_EQ(six.layers.size(), 19U) << "of 20 layers the last one is no convolution";
  EXPECT_EQ(six.layers[0].name, "conv1");
  EXPECT_EQ(six.layers[1].name, "layer1.0.conv1");
  EXPECT_EQ(six.layers[18].name, "layer3.2.conv2");
  for (size_t i = 0; i < six.layers.size(); ++i) {
    EXPECT_EQ(six.layers[i].kernel, 3);
    EXPECT_NE(six.layers[i].gradient_norm, one.layers[i].gradient_norm);
    EXPECT_NEAR(six.layers[i].response_std, 1, 0.02) << "a fresh norm has gamma 1 and beta 0";
  }
  const nlohmann::ordered_json json = to_json(six, network);
  EXPECT_EQ(json["batches"], 6);
  EXPECT_EQ(json["batch_size"], 16);
  EXPECT_EQ(json["iteration"], 0);
  EXPECT_EQ(json["model"], "resnet20");
  EXPECT_EQ(json["layers"][1]["gradient_norm"], six.layers[1].gradient_norm);
}

}  // namespace
}  // namespace residua::test
