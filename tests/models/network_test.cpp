#include "models/network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/nn/initialization.h"
#include "core/nn/parameter_store.h"
#include "core/nn/state_dict.h"
#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

Network make(const std::vector<Assignment>& options, InputDescription input, DType compute = DType::f32) {
  ModelOptions chosen;
  Settings settings;
  declare(settings, chosen);
  for (const Assignment& option : options) {
    settings.assign(option.key, option.words, Layer::command_line);
  }
  return make_network(chosen, std::move(input), compute);
}

/// The network's file of weights, as a run writes it.
Safetensors saved(const TemporaryFolder& folder, const Network& network, const SafetensorsMetadata& metadata) {
  ParameterStore store(*network.module);
  initialize(store, 1);
  save_weights(folder / "w.safetensors", snapshot(store), metadata, input_arrays(network));
  return read_weights(folder / "w.safetensors");
}
Safetensors saved(const TemporaryFolder& folder, const Network& network) {
  return saved(folder, network, network_metadata(network));
}

std::string refusal(const Safetensors& file, const NetworkOverrides& overrides = {}) {
  try {
    network_from_weights(file, overrides, DType::f32);
    return "";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
    return error.what();
  }
}

InputDescription small_input() {
  return {.size = 16, .mean = {100, 110, 120.5f}, .std = {50, 60, 70}, .class_names = {"cat", "dog", "T-shirt/top"}};
}

TEST(Network, IsWhatTheModelWasDesignedForUnlessToldOtherwise) {
  const Network network = make({{"model", {"plain20"}}}, {});
  EXPECT_EQ(network.input.size, 32);
  EXPECT_EQ(network.classes(), 10);
  EXPECT_EQ(network.input.class_names[7], "class 7");
  EXPECT_FALSE(network.input.classes_named);
  EXPECT_THAT(network.input.mean, ElementsAre(123.675f, 116.28f, 103.53f));
  EXPECT_EQ(network.description(), "plain20, shortcut none, end, stride, conv3x3, 10 classes");
  EXPECT_EQ(network_metadata(network).count("classes"), 0U) << "nothing named them";
  EXPECT_EQ(make({{"model", {"resnet18"}}}, {}).input.size, 224);
}

TEST(Network, InputChannelsAreThoseOfTheType) {
  for (const auto& [compute, channels] : {std::pair{DType::f32, 3}, std::pair{DType::bf16, 4}, std::pair{DType::f16, 4}}) {
    const Network network = make({{"model", {"resnet20"}}}, small_input(), compute);
    EXPECT_EQ(network.input_channels, channels);
    const InputFormat format = input_format(network, compute, {});
    EXPECT_EQ(format.channels, channels);
    EXPECT_EQ(format.height, 16);
    EXPECT_EQ(format.width, 16);
    EXPECT_EQ(format.dtype, compute);
    EXPECT_THAT(format.mean.to_vector(), ElementsAre(100, 110, 120.5f));
    EXPECT_THAT(format.inverse_std.to_vector(), ElementsAre(1 / 50.0f, 1 / 60.0f, 1 / 70.0f));
    // The convolution takes just these.
    EXPECT_EQ(network.module->parameters().front()->shape[3], channels);
  }
}

TEST(Network, MetadataHasTheKeysOfAllVersions) {
  const Network network =
      make({{"model", {"resnet20"}}, {"shortcut", {"C"}}, {"shortcut-pad", {"both"}}}, small_input(), DType::bf16);
  EXPECT_THAT(network_metadata(network),
              UnorderedElementsAre(Pair("model", "resnet20"), Pair("shortcut", "C"), Pair("shortcut_pad", "both"),
                                   Pair("shortcut_pool", "stride"), Pair("bottleneck_stride", "conv3x3"),
                                   Pair("input_size", "16"), Pair("mean", "[100.0,110.0,120.5]"),
                                   Pair("std", "[50.0,60.0,70.0]"), Pair("classes", R"(["cat","dog","T-shirt/top"])")));
  EXPECT_EQ(network_metadata(make({{"model", {"resnet110"}}}, {})).at("shortcut"), "A") << "the model's own";
  EXPECT_EQ(network_metadata(make({{"model", {"plain20"}}}, {})).at("shortcut"), "none");
  EXPECT_EQ(network_metadata(make({{"model", {"plain20"}}}, {.turned_by_exif = true})).at("exif"), "true");
}

TEST(Network, AFileOfWeightsMakesItAgain) {
  const TemporaryFolder folder;
  InputDescription with_image = small_input();
  with_image.mean.clear();
  for (int i = 0; i < 16 * 16 * 3; ++i) {
    with_image.mean.push_back(std::sqrt(static_cast<float>(i)));
  }
  with_image.std = {std::sqrt(2.0f), 1e-3f, 1.0f / 3.0f};
  with_image.turned_by_exif = true;
  with_image.colors = PrincipalColors{{std::sqrt(2.0), 0.1, 0}, {{{1.0 / 3, 2, 3}, {4, 5, 6}, {7, 8, 9}}}};
  const std::vector<std::vector<Assignment>> choices = {
      {{"model", {"plain20"}}},
      {{"model", {"resnet20"}}},
      {{"model", {"resnet20"}}, {"shortcut", {"C"}}},
      {{"model", {"resnet20"}}, {"shortcut-pad", {"both"}}, {"shortcut-pool", {"average"}}},
      {{"model", {"resnet20"}}, {"shortcut", {"B"}}, {"bottleneck-stride", {"conv1x1"}}}};
  for (const std::vector<Assignment>& options : choices) {
    for (const InputDescription& input : {small_input(), with_image}) {
      const Network made = make(options, input);
      const Network again = network_from_weights(saved(folder, made), {}, DType::f32);
      EXPECT_EQ(again.description(), made.description());
      EXPECT_EQ(again.name, made.name);
      EXPECT_EQ(again.input.size, 16);
      EXPECT_EQ(again.input.mean, input.mean) << "bit for bit";
      EXPECT_EQ(again.input.std, input.std);
      EXPECT_EQ(again.input.colors, input.colors);
      EXPECT_EQ(again.input.turned_by_exif, input.turned_by_exif);
      EXPECT_EQ(again.input.class_names, input.class_names);
      EXPECT_TRUE(again.input.classes_named);
      EXPECT_EQ(network_metadata(again), network_metadata(made));
      ASSERT_EQ(again.module->parameters().size(), made.module->parameters().size());
    }
  }
}

TEST(Network, AMeanImageIsATensorAndItsChannelMeansServeOtherSizes) {
  const TemporaryFolder folder;
  InputDescription input = small_input();
  input.mean.assign(16 * 16 * 3, 5.0f);
  input.mean[0] = 5.0f + 256;
  const Network network = make({{"model", {"resnet20"}}}, input);
  const Safetensors file = saved(folder, network);
  EXPECT_EQ(file.metadata.at("mean"), "[6.0,5.0,5.0]");
  ASSERT_NE(file.find("input.mean"), nullptr);
  EXPECT_THAT(file.find("input.mean")->shape, ElementsAre(16, 16, 3));
  ParameterStore store(*network.module);
  EXPECT_NO_THROW(load_weights(file, store, "fc."));
  EXPECT_EQ(network_from_weights(file, {}, DType::f32).input.mean, input.mean);
  EXPECT_THAT(network_from_weights(file, {.size = 32}, DType::f32).input.mean, ElementsAre(6, 5, 5));
  EXPECT_THAT(network_from_weights(file, {.mean = {{1, 2, 3}}}, DType::f32).input.mean, ElementsAre(1, 2, 3));
}

TEST(Network, AMeanImageAsTextIsRead) {  // as earlier versions wrote it
  const TemporaryFolder folder;
  const Network network = make({{"model", {"resnet20"}}}, small_input());
  SafetensorsMetadata metadata = network_metadata(network);
  std::string image = "[1.5";
  for (int i = 1; i < 16 * 16 * 3; ++i) {
    image += ",2";
  }
  metadata["mean"] = image + "]";
  const std::vector<float> mean = network_from_weights(saved(folder, network, metadata), {}, DType::f32).input.mean;
  ASSERT_EQ(mean.size(), 16U * 16 * 3);
  EXPECT_EQ(mean[0], 1.5f);
  EXPECT_EQ(mean[767], 2.0f);
}

TEST(Network, ADamagedMeanImageIsRefused) {
  Safetensors file{
      .path = "w.safetensors", .arrays = {host_array<float>("input.mean", {1, 2, 3}, std::vector<float>(6))}, .metadata = {}};
  const auto refused = [&] { stored_mean_image(file, 2); };
  EXPECT_TRUE(fails_with(refused, {"w.safetensors", "input.mean is f32 [1, 2, 3], wanted f32 [size, size, 3]"}));
  file.arrays = {host_array<float>("input.mean", {1, 1, 3}, std::vector<float>{1, NAN, 3})};
  EXPECT_TRUE(fails_with(refused, {"w.safetensors", "not finite"}));
  file.arrays = {host_array<int32_t>("input.mean", {1, 1, 3}, std::vector<int32_t>(3))};
  EXPECT_TRUE(fails_with(refused, {"w.safetensors", "i32"}));
  file.arrays.clear();
  EXPECT_TRUE(stored_mean_image(file, 2).empty());
}

TEST(Network, TorchvisionsFilesSayNothing) {
  const TemporaryFolder folder;
  const Safetensors file = saved(folder, make({{"model", {"resnet20"}}, {"shortcut", {"B"}}}, small_input()), {});
  EXPECT_THAT(refusal(file), AllOf(HasSubstr(file.path), HasSubstr("give the model")));
  const Network network = network_from_weights(file, {.model = "resnet20", .options = {{"shortcut", {"B"}}}}, DType::f32);
  EXPECT_EQ(network.input.size, 32);
  EXPECT_EQ(network.input.std[0], 58.395f);
  EXPECT_THAT(network.input.class_names, ElementsAre("class 0", "class 1", "class 2"));
  EXPECT_FALSE(network.input.classes_named);
}

TEST(Network, WhatIsGivenGoesBeforeTheFile) {
  const TemporaryFolder folder;
  const Safetensors file = saved(folder, make({{"model", {"resnet20"}}, {"shortcut-pad", {"both"}}}, small_input()));
  const Network network = network_from_weights(file,
                                               {.options = {{"shortcut-pad", {"end"}}, {"shortcut", {"B"}}},
                                                .class_names = {{"a", "b", "c"}},
                                                .size = 24,
                                                .mean = {{1, 2, 3}},
                                                .std = {{4, 5, 6}}},
                                               DType::f32);
  EXPECT_EQ(network.description(), "resnet20, shortcut B, end, stride, conv3x3, 3 classes");
  EXPECT_THAT(network.input.class_names, ElementsAre("a", "b", "c"));
  EXPECT_EQ(network.input.size, 24);
  EXPECT_THAT(network.input.mean, ElementsAre(1, 2, 3));
  EXPECT_THAT(network.input.std, ElementsAre(4, 5, 6));
  EXPECT_EQ(network_from_weights(file, {.model = "resnet32"}, DType::f32).name, "resnet32");
}

TEST(Network, RefusesAFileThatContradictsItself) {
  const TemporaryFolder folder;
  const Network network = make({{"model", {"resnet20"}}}, small_input());
  const auto with = [&](const std::string& key, const std::string& value) {
    SafetensorsMetadata metadata = network_metadata(network);
    metadata[key] = value;
    return refusal(saved(folder, network, metadata));
  };
  EXPECT_EQ(with("model", "resnet20"), "");
  EXPECT_THAT(with("model", "resnet21"), AllOf(HasSubstr("w.safetensors"), HasSubstr("did you mean resnet20")));
  EXPECT_THAT(with("shortcut", "D"), AllOf(HasSubstr("w.safetensors"), HasSubstr("shortcut: got 'D'")));
  EXPECT_THAT(with("shortcut_pool", "max"), HasSubstr("wanted stride or average"));
  EXPECT_THAT(with("mean", "[1,2]"), AllOf(HasSubstr("w.safetensors"), HasSubstr("mean has 2 numbers")));
  EXPECT_THAT(with("mean", "[1,\"2\",3]"), HasSubstr("'mean'"));
  EXPECT_THAT(with("mean", "3"), HasSubstr("'mean'"));
  EXPECT_THAT(with("mean", "[1,2,1e300]"), HasSubstr("must be finite"));
  EXPECT_THAT(with("std", "[1,2]"), HasSubstr("'std' has 2 numbers"));
  EXPECT_THAT(with("std", "[0,0,0]"), HasSubstr("std above 0"));
  EXPECT_THAT(with("input_size", "16.5"), HasSubstr("'input_size'"));
  EXPECT_THAT(with("input_size", "99999999999999999999"), HasSubstr("'input_size'"));
  EXPECT_THAT(with("input_size", "9223372036854775807"), HasSubstr("wanted 1 to 4096"));
  EXPECT_THAT(with("classes", "[\"one\"]"), HasSubstr("has 3 classes, but 1 class names"));
  EXPECT_THAT(with("classes", "[1,2,3]"), HasSubstr("'classes'"));

  Safetensors headless = saved(folder, network);
  std::erase_if(headless.arrays, [](const HostArray& array) { return array.name == "fc.weight"; });
  EXPECT_THAT(refusal(headless), AllOf(HasSubstr("w.safetensors"), HasSubstr("fc.weight"), HasSubstr("missing")));
  const Safetensors file = saved(folder, network);
  EXPECT_THAT(refusal(file, {.options = {{"no-such-option", {"1"}}}}), HasSubstr("no-such-option: got '1'"));
  EXPECT_THAT(refusal(file, {.mean = {{1, 2, std::nanf("")}}}), HasSubstr("must be finite"));
}

}  // namespace
}  // namespace residua::test
