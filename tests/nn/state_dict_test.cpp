#include "core/nn/state_dict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "core/nn/initialization.h"
#include "models/resnet.h"
#include "tests/support/peer_python.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using test::TemporaryFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;

/// A small network, with shortcut B for its projections' names, and memory for it.
struct Network {
  explicit Network(int64_t classes = 10, Shortcut shortcut = Shortcut::b, ParameterStoreOptions options = {},
                   int64_t stored_in_channels = 0)
      : model(spec(classes, shortcut, stored_in_channels)), store(model, options) {}

  static ResNetConfig spec(int64_t classes, Shortcut shortcut, int64_t stored_in_channels) {
    ResNetConfig spec = named_resnet("resnet20");
    spec.shortcut = shortcut;
    spec.classes = classes;
    spec.stored_in_channels = stored_in_channels;
    return spec;
  }

  ResNet model;
  ParameterStore store;
};

/// Different values everywhere, so that no two tensors or layouts can be taken for each other.
void number(ParameterStore& store) {
  float next = 1;
  for (const Parameter* parameter : store.parameters()) {
    std::vector<float> values(static_cast<size_t>(parameter->logical.size()));
    std::ranges::generate(values, [&] { return next += 1; });
    from_logical(*parameter, values, parameter->master);
  }
  for (const RunningStatistics* layer : store.statistics()) {
    for (const Tensor& tensor : {layer->running_mean, layer->running_variance}) {
      std::vector<float> values(static_cast<size_t>(tensor.size()));
      std::ranges::generate(values, [&] { return next += 1; });
      tensor.copy_from(values);
    }
  }
  store.batches_tracked = 77;
  store.masters_changed();
}

void expect_equal(const ParameterStore& a, const ParameterStore& b) {
  ASSERT_EQ(a.parameters().size(), b.parameters().size());
  for (size_t i = 0; i < a.parameters().size(); ++i) {
    EXPECT_EQ(to_logical(*a.parameters()[i], a.parameters()[i]->master),
              to_logical(*b.parameters()[i], b.parameters()[i]->master))
        << a.parameters()[i]->name;
  }
  ASSERT_EQ(a.statistics().size(), b.statistics().size());
  for (size_t i = 0; i < a.statistics().size(); ++i) {
    EXPECT_EQ(a.statistics()[i]->running_mean.to_vector(), b.statistics()[i]->running_mean.to_vector());
    EXPECT_EQ(a.statistics()[i]->running_variance.to_vector(), b.statistics()[i]->running_variance.to_vector());
  }
  EXPECT_EQ(a.batches_tracked, b.batches_tracked);
}

/// The message with which the numbered network refuses a file of these tensors; it must not have changed by it.
std::string refusal(std::vector<NamedTensor> tensors, Network network = Network()) {
  const Safetensors file{.path = "some.safetensors", .tensors = std::move(tensors), .metadata = {}};
  number(network.store);
  Network before(network.model.config().classes, network.model.config().shortcut);
  number(before.store);
  try {
    load_model_weights(file, network.store);
    return "";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("some.safetensors"), Not(HasSubstr("\n"))));
    expect_equal(network.store, before.store);
    return error.what();
  }
}

std::vector<NamedTensor> saved_tensors() {
  const TemporaryFolder folder;
  Network network;
  initialize(network.store, 3, FanMode::fan_in);
  save_model_weights(folder / "w.safetensors", network.store, {});
  return load_safetensors(folder / "w.safetensors").tensors;
}

NamedTensor& named(std::vector<NamedTensor>& tensors, const std::string& name) {
  return *std::ranges::find(tensors, name, &NamedTensor::name);
}

TEST(ModelWeights, WhatIsSavedIsLoaded) {
  const TemporaryFolder folder;
  const std::string path = folder / "w.safetensors";
  Network saved;
  number(saved.store);
  save_model_weights(path, saved.store, {{"model", "resnet20"}});
  EXPECT_EQ(load_safetensors_metadata(path).at("model"), "resnet20");

  Network loaded;
  load_model_weights(path, loaded.store);
  expect_equal(saved.store, loaded.store);
}

TEST(ModelWeights, A16BitNetworkWithAPaddedStemTakesThemToo) {
  const TemporaryFolder folder;
  const std::string path = folder / "w.safetensors";
  Network saved;
  initialize(saved.store, 3, FanMode::fan_in);
  save_model_weights(path, saved.store, {});
  Network padded(10, Shortcut::b, {.compute = DType::bf16}, 4);
  load_model_weights(path, padded.store);
  expect_equal(saved.store, padded.store);
  // The copy that convolutions read is renewed: bf16 keeps 8 bits.
  const Parameter& fc = padded.store.parameter("fc.weight");
  EXPECT_NEAR(fc.value.to_vector()[5], fc.master.to_vector()[5], std::abs(fc.master.to_vector()[5]) / 256);
}

TEST(ModelWeights, AreUnderTorchvisionsNamesInItsLayout) {
  const TemporaryFolder folder;
  Network network;
  number(network.store);
  save_model_weights(folder / "w.safetensors", network.store, {});
  const Safetensors file = load_safetensors(folder / "w.safetensors");
  const Tensor* conv = file.find("layer2.0.conv1.weight");
  ASSERT_NE(conv, nullptr);
  EXPECT_EQ(conv->shape(), (Shape{32, 16, 3, 3}));
  const Parameter& parameter = network.store.parameter("layer2.0.conv1.weight");
  const auto stored = parameter.master.span<float>();  // [K, R, S, C]
  const auto written = conv->span<float>();            // [K, C, R, S]
  EXPECT_EQ(written[((5 * 16 + 7) * 3 + 2) * 3 + 1], stored[((5 * 3 + 2) * 3 + 1) * 16 + 7]);
  for (const char* name : {"conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var",
                           "layer2.0.downsample.0.weight", "layer2.0.downsample.1.running_var", "fc.weight", "fc.bias"}) {
    EXPECT_NE(file.find(name), nullptr) << name;
  }
  const Tensor* count = file.find("bn1.num_batches_tracked");
  ASSERT_NE(count, nullptr);
  EXPECT_EQ(count->dtype(), DType::i64);
  EXPECT_EQ(count->shape(), Shape{});
  EXPECT_EQ(count->item(), 77);
}

TEST(ModelWeights, OlderFilesHaveNoBatchCounts) {
  std::vector<NamedTensor> tensors = saved_tensors();
  std::erase_if(tensors, [](const NamedTensor& item) { return item.name.ends_with("num_batches_tracked"); });
  EXPECT_EQ(refusal(tensors), "");
}

TEST(ModelWeights, TakesHalfPrecisionFiles) {
  std::vector<NamedTensor> tensors = saved_tensors();
  Tensor& fc = named(tensors, "fc.weight").tensor;
  const std::vector<float> values(static_cast<size_t>(fc.size()), 0.5f);
  fc = from_values(fc.shape(), values, DType::f16);
  Network network;
  load_model_weights({.path = "half", .tensors = tensors, .metadata = {}}, network.store);
  EXPECT_EQ(network.store.parameter("fc.weight").master.to_vector(), values);
}

TEST(ModelWeights, RefusesWhatDoesNotFit) {
  const std::vector<NamedTensor> good = saved_tensors();
  ASSERT_EQ(refusal(good), "");

  std::vector<NamedTensor> tensors = good;
  tensors.erase(std::ranges::find(tensors, std::string("layer1.0.bn1.weight"), &NamedTensor::name));
  EXPECT_THAT(refusal(tensors), HasSubstr("it lacks \"layer1.0.bn1.weight\""));

  tensors = good;
  tensors.push_back({"odd\nname", zeros({1}, DType::f32)});
  EXPECT_THAT(refusal(tensors), HasSubstr("the model lacks \"odd\\nname\""));

  tensors = good;
  named(tensors, "conv1.weight").tensor = zeros({16, 3, 5, 5}, DType::f32);
  EXPECT_THAT(refusal(tensors), HasSubstr("conv1.weight is [16, 3, 5, 5], wanted [16, 3, 3, 3]"));

  tensors = good;
  named(tensors, "bn1.bias").tensor = empty({16}, DType::i32);
  EXPECT_THAT(refusal(tensors), AllOf(HasSubstr("bn1.bias"), HasSubstr("i32")));

  tensors = good;
  named(tensors, "bn1.num_batches_tracked").tensor = zeros({3}, DType::f32);
  EXPECT_THAT(refusal(tensors), HasSubstr("wanted one count in i64"));

  EXPECT_THAT(refusal({}), HasSubstr("it lacks \"conv1.weight\", \"bn1.weight\", \"bn1.bias\" and 104 more"));
}

TEST(ModelWeights, AnotherNumberOfClassesIsCalledThat) {
  const TemporaryFolder folder;
  const std::string path = folder / "w.safetensors";
  Network ten;
  save_model_weights(path, ten.store, {});
  Network hundred(100);
  try {
    load_model_weights(path, hundred.store);
    FAIL() << "no error";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr(path), HasSubstr("into 10 classes, the model into 100"), HasSubstr("fc.weight")));
  }
}

TEST(ModelWeights, AnotherShortcutIsNamed) {
  const TemporaryFolder folder;
  const std::string path = folder / "w.safetensors";
  Network projections(10, Shortcut::b);
  save_model_weights(path, projections.store, {});
  Network padding(10, Shortcut::a);
  try {
    load_model_weights(path, padding.store);
    FAIL() << "no error";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("the model lacks \"layer2.0.downsample.0.weight\""));
  }
}

TEST(ModelWeights, TorchvisionTakesThemStrictly) {
  const std::string python = test::peer_python("torchvision, safetensors.torch");
  if (python.empty()) {
    GTEST_SKIP() << "RESIDUA_PYTHON names no Python with torchvision and safetensors";
  }
  const TemporaryFolder folder;
  ResNetConfig spec = named_resnet("resnet18");
  spec.classes = 10;
  ResNet model(spec);
  ParameterStore store(model);
  initialize(store, 5, FanMode::fan_out);
  save_model_weights(folder / "ours.safetensors", store, {});
  test::write_bytes(folder / "peer.py", R"(
import sys
import safetensors.torch
import torchvision
model = torchvision.models.resnet18(num_classes=10)
model.load_state_dict(safetensors.torch.load_file(sys.argv[1]), strict=True)
for tensor in model.state_dict().values():
    tensor.mul_(2)
safetensors.torch.save_file(model.state_dict(), sys.argv[2])
)");
  ASSERT_EQ(
      std::system((python + " " + folder / "peer.py" + " " + folder / "ours.safetensors" + " " + folder / "theirs.safetensors")
                      .c_str()),
      0);
  ResNet copy(spec);
  ParameterStore doubled(copy);
  load_model_weights(folder / "theirs.safetensors", doubled);
  for (size_t i = 0; i < store.parameters().size(); ++i) {
    const Parameter& ours = *store.parameters()[i];
    std::vector<float> wanted = to_logical(ours, ours.master);
    std::ranges::for_each(wanted, [](float& value) { value *= 2; });
    EXPECT_EQ(to_logical(*doubled.parameters()[i], doubled.parameters()[i]->master), wanted) << ours.name;
  }
}

}  // namespace
}  // namespace residua::test
