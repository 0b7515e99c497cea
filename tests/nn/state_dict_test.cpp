#include "core/nn/state_dict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "core/nn/initialization.h"
#include "core/run/checkpoint.h"
#include "models/resnet.h"
#include "tests/support/compare.h"
#include "tests/support/host_arrays.h"
#include "tests/support/peer_python.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
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

/// The message with which the numbered network refuses a file of these arrays; it must not have changed by it.
std::string refusal(std::vector<HostArray> arrays, Network network = Network()) {
  const Safetensors file{.path = "some.safetensors", .arrays = std::move(arrays), .metadata = {}};
  number(network.store);
  Network before(network.model.config().classes, network.model.config().shortcut);
  number(before.store);
  try {
    load_weights(file, network.store, "fc.");
    return "";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("some.safetensors"), Not(HasSubstr("\n"))));
    expect_equal(network.store, before.store);
    return error.what();
  }
}

std::vector<HostArray> saved_arrays() {
  const TemporaryFolder folder;
  Network network;
  initialize(network.store, 3, FanMode::fan_in);
  save_weights(folder / "w.safetensors", snapshot(network.store), {});
  return load_safetensors(folder / "w.safetensors").arrays;
}

TEST(ModelWeights, WhatIsSavedIsLoaded) {
  const TemporaryFolder folder;
  const std::string path = folder / "w.safetensors";
  Network saved;
  number(saved.store);
  save_weights(path, snapshot(saved.store), {{"model", "resnet20"}});
  EXPECT_EQ(load_safetensors_metadata(path).at("model"), "resnet20");

  Network loaded;
  load_weights(read_weights(path), loaded.store, "fc.");
  expect_equal(saved.store, loaded.store);
}

TEST(ModelWeights, A16BitNetworkWithAPaddedStemTakesThemToo) {
  const TemporaryFolder folder;
  const std::string path = folder / "w.safetensors";
  Network saved;
  initialize(saved.store, 3, FanMode::fan_in);
  save_weights(path, snapshot(saved.store), {});
  Network padded(10, Shortcut::b, {.compute = DType::bf16}, 4);
  load_weights(read_weights(path), padded.store, "fc.");
  expect_equal(saved.store, padded.store);
  // The copy that convolutions read is renewed: bf16 keeps 8 bits.
  const Parameter& fc = padded.store.parameter("fc.weight");
  EXPECT_NEAR(fc.value.to_vector()[5], fc.master.to_vector()[5], std::abs(fc.master.to_vector()[5]) / 256);
}

TEST(ModelWeights, AreUnderTorchvisionsNamesInItsLayout) {
  const TemporaryFolder folder;
  Network network;
  number(network.store);
  save_weights(folder / "w.safetensors", snapshot(network.store), {});
  const Safetensors file = load_safetensors(folder / "w.safetensors");
  const HostArray* conv = file.find("layer2.0.conv1.weight");
  ASSERT_NE(conv, nullptr);
  EXPECT_THAT(conv->shape, ElementsAre(32, 16, 3, 3));
  const Parameter& parameter = network.store.parameter("layer2.0.conv1.weight");
  const auto stored = parameter.master.span<float>();  // [K, R, S, C]
  const auto written = conv->span<float>();            // [K, C, R, S]
  EXPECT_EQ(written[((5 * 16 + 7) * 3 + 2) * 3 + 1], stored[((5 * 3 + 2) * 3 + 1) * 16 + 7]);
  for (const char* name : {"conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var",
                           "layer2.0.downsample.0.weight", "layer2.0.downsample.1.running_var", "fc.weight", "fc.bias"}) {
    EXPECT_NE(file.find(name), nullptr) << name;
  }
  const HostArray* count = file.find("bn1.num_batches_tracked");
  ASSERT_NE(count, nullptr);
  EXPECT_TRUE(count->shape.empty());
  EXPECT_THAT(count->span<int64_t>(), ElementsAre(77));
}

TEST(ModelWeights, OlderFilesHaveNoBatchCounts) {
  std::vector<HostArray> arrays = saved_arrays();
  std::erase_if(arrays, [](const HostArray& array) { return array.name.ends_with("num_batches_tracked"); });
  EXPECT_EQ(refusal(arrays), "");
}

TEST(ModelWeights, TakesHalfPrecisionFiles) {
  std::vector<HostArray> arrays = saved_arrays();
  HostArray& fc = named(arrays, "fc.weight");
  const std::vector<float> values(static_cast<size_t>(fc.size()), 0.5f);
  fc = to_host("fc.weight", from_values({10, 64}, values, DType::f16));
  Network network;
  load_weights({.path = "half", .arrays = arrays, .metadata = {}}, network.store, "fc.");
  EXPECT_EQ(network.store.parameter("fc.weight").master.to_vector(), values);
}

TEST(ModelWeights, RefusesWhatDoesNotFit) {
  const std::vector<HostArray> good = saved_arrays();
  ASSERT_EQ(refusal(good), "");

  std::vector<HostArray> arrays = good;
  arrays.erase(std::ranges::find(arrays, std::string("layer1.0.bn1.weight"), &HostArray::name));
  EXPECT_THAT(refusal(arrays), HasSubstr("it lacks \"layer1.0.bn1.weight\""));

  arrays = good;
  arrays.push_back(to_host("odd\nname", zeros({1}, DType::f32)));
  EXPECT_THAT(refusal(arrays), HasSubstr("the model lacks \"odd\\nname\""));

  arrays = good;
  named(arrays, "conv1.weight") = to_host("conv1.weight", zeros({16, 3, 5, 5}, DType::f32));
  EXPECT_THAT(refusal(arrays), HasSubstr("conv1.weight is [16, 3, 5, 5], wanted [16, 3, 3, 3]"));

  arrays = good;
  named(arrays, "bn1.bias") = to_host("bn1.bias", zeros({16}, DType::i32));
  EXPECT_THAT(refusal(arrays), AllOf(HasSubstr("bn1.bias"), HasSubstr("i32")));

  arrays = good;
  named(arrays, "bn1.num_batches_tracked") = to_host("bn1.num_batches_tracked", zeros({3}, DType::f32));
  EXPECT_THAT(refusal(arrays), HasSubstr("wanted a single i64 count"));

  EXPECT_THAT(refusal({}), HasSubstr("it lacks \"conv1.weight\", \"bn1.weight\", \"bn1.bias\" and 104 more"));
}

TEST(ModelWeights, ThatAreNotFiniteAreRefusedByName) {
  for (const auto& [name, value] :
       {std::pair{"layer2.0.conv1.weight", NAN}, {"fc.bias", INFINITY}, {"bn1.running_var", -INFINITY}}) {
    std::vector<HostArray> arrays = saved_arrays();
    named(arrays, name).span<float>()[3] = value;
    EXPECT_THAT(refusal(arrays), AllOf(HasSubstr(name), HasSubstr("at position 3"), HasSubstr("diverged")));
  }
}

TEST(ModelWeights, ThePrefixOfDataParallelIsDropped) {
  const TemporaryFolder folder;
  const std::string path = folder / "w.safetensors";
  Network saved;
  number(saved.store);
  const StateSnapshot state = snapshot(saved.store);
  std::vector<HostArrayView> arrays = weight_arrays(state);
  for (HostArrayView& array : arrays) {
    array.name = "module." + array.name;
  }
  save_safetensors(path, arrays, {{"model", "resnet20"}});
  const Safetensors file = read_weights(path);
  EXPECT_NE(file.find("fc.weight"), nullptr);
  EXPECT_EQ(file.metadata.at("model"), "resnet20");
  Network loaded;
  load_weights(file, loaded.store, "fc.");
  expect_equal(saved.store, loaded.store);
  // A file that has it on some names alone is another model's.
  arrays[0].name.erase(0, std::string("module.").size());
  save_safetensors(path, arrays);
  EXPECT_TRUE(fails_with([&] { load_weights(read_weights(path), loaded.store, "fc."); }, {"the model lacks \"module."}));
}

TEST(ModelWeights, ACheckpointIsNoneAndTheRightFileIsNamed) {
  const TemporaryFolder folder;
  const std::string path = folder / "checkpoint.safetensors";
  Network network;
  const StateSnapshot state = snapshot(network.store);
  save_checkpoint(path, {{"iteration", 1}}, checkpoint_arrays(state));
  EXPECT_TRUE(fails_with([&] { read_weights(path); }, {path, "is a checkpoint", "last.safetensors or best.safetensors"}));
  save_weights(folder / "best.safetensors", state, {});
  EXPECT_TRUE(fails_with([&] { read_weights(path); }, {path, "use " + folder / "best.safetensors"}));
  EXPECT_NO_THROW(read_weights(folder / "best.safetensors"));
}

TEST(ModelWeights, AnotherNumberOfClassesIsCalledThat) {
  const TemporaryFolder folder;
  const std::string path = folder / "w.safetensors";
  Network ten;
  save_weights(path, snapshot(ten.store), {});
  Network hundred(100);
  try {
    load_weights(read_weights(path), hundred.store, "fc.");
    FAIL() << "no error";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr(path), HasSubstr("has 10 classes, but the model has 100"), HasSubstr("fc.weight")));
  }
}

TEST(ModelWeights, AnotherShortcutIsNamed) {
  const TemporaryFolder folder;
  const std::string path = folder / "w.safetensors";
  Network projections(10, Shortcut::b);
  save_weights(path, snapshot(projections.store), {});
  Network padding(10, Shortcut::a);
  try {
    load_weights(read_weights(path), padding.store, "fc.");
    FAIL() << "no error";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("the model lacks \"layer2.0.downsample.0.weight\""));
  }
}

TEST(StateSnapshot, HasEveryArrayInTheOrderOfFiles) {
  // Padded input channels and 16-bit copies are how the store keeps it, and no matter of files.
  Network network(10, Shortcut::b, {.compute = DType::bf16}, 4);
  number(network.store);
  float next = -1;
  for (const Parameter* parameter : network.store.parameters()) {
    std::vector<float> values(static_cast<size_t>(parameter->logical.size()));
    std::ranges::generate(values, [&] { return next -= 1; });
    from_logical(*parameter, values, parameter->velocity);
  }
  const StateSnapshot state = snapshot(network.store);
  EXPECT_EQ(state.batches_tracked, 77);
  const auto& parameters = network.store.parameters();
  ASSERT_EQ(state.weights.size(), parameters.size());
  ASSERT_EQ(state.velocities.size(), parameters.size());
  float weight = 1;
  float velocity = -1;
  for (size_t i = 0; i < parameters.size(); ++i) {
    SCOPED_TRACE(parameters[i]->name);
    EXPECT_EQ(state.weights[i].name, parameters[i]->name);
    EXPECT_EQ(state.velocities[i].name, parameters[i]->name);
    EXPECT_THAT(state.weights[i].shape, ElementsAreArray(parameters[i]->logical.sizes()));
    EXPECT_THAT(state.velocities[i].shape, ElementsAreArray(parameters[i]->logical.sizes()));
    for (const float value : state.weights[i].span<float>()) {
      ASSERT_EQ(value, weight += 1);
    }
    for (const float value : state.velocities[i].span<float>()) {
      ASSERT_EQ(value, velocity -= 1);
    }
  }
  ASSERT_EQ(state.running_means.size(), network.store.statistics().size());
  ASSERT_EQ(state.running_variances.size(), network.store.statistics().size());
  for (size_t i = 0; i < state.running_means.size(); ++i) {
    EXPECT_EQ(state.running_means[i].name, network.store.statistics()[i]->name);
    for (const HostArray* array : {&state.running_means[i], &state.running_variances[i]}) {
      EXPECT_THAT(array->shape, ElementsAre(network.store.statistics()[i]->channels));
      for (const float value : array->span<float>()) {
        ASSERT_EQ(value, weight += 1);
      }
    }
  }
}

TEST(StateSnapshot, OfInferenceHasNoVelocities) {
  Network network(10, Shortcut::b, {.purpose = Purpose::inference});
  const StateSnapshot state = snapshot(network.store);
  EXPECT_EQ(state.weights.size(), network.store.parameters().size());
  EXPECT_TRUE(state.velocities.empty());
}

/// All that a save writes is of one moment, and the store is not read again.
TEST(StateSnapshot, IsWhatIsWrittenWhateverTheStoreHoldsByThen) {
  const TemporaryFolder folder;
  Network network;
  number(network.store);
  Network before;
  number(before.store);
  const StateSnapshot state = snapshot(network.store);
  initialize(network.store, 3, FanMode::fan_in);
  network.store.batches_tracked = 5;
  save_weights(folder / "last", state, {});
  save_weights(folder / "best", state, {});
  save_checkpoint(folder / "checkpoint", nlohmann::json::object(), checkpoint_arrays(state));
  for (const char* file : {"last", "best"}) {
    Network loaded;
    load_weights(read_weights(folder / file), loaded.store, "fc.");
    expect_equal(loaded.store, before.store);
  }
  Network resumed;
  restore("checkpoint", load_checkpoint(folder / "checkpoint").arrays, 77, resumed.store);
  expect_equal(resumed.store, before.store);
}

TEST(StateSnapshot, FindsWhatIsNotFinite) {
  Network network;
  initialize(network.store, 0);
  EXPECT_EQ(snapshot(network.store).first_not_finite(), std::nullopt);
  const auto found_with = [&](const Tensor& tensor, float value) {
    float& last = tensor.span<float>().back();
    const float before = std::exchange(last, value);
    const std::optional<std::string> name = snapshot(network.store).first_not_finite();
    last = before;
    return name;
  };
  const Parameter& weight = network.store.parameter("layer2.0.conv1.weight");
  EXPECT_EQ(found_with(weight.master, NAN), "layer2.0.conv1.weight");
  EXPECT_EQ(found_with(weight.velocity, -INFINITY), "layer2.0.conv1.weight");
  EXPECT_EQ(found_with(network.store.parameter("fc.bias").velocity, NAN), "fc.bias");
  const RunningStatistics& statistics = *network.store.statistics()[1];
  EXPECT_EQ(found_with(statistics.running_mean, INFINITY), statistics.name);
  EXPECT_EQ(found_with(statistics.running_variance, NAN), statistics.name);
  EXPECT_EQ(snapshot(network.store).first_not_finite(), std::nullopt);
}

TEST(StateSnapshot, IsRestoredWholeOrNotAtAll) {
  Network network;
  number(network.store);
  for (const Parameter* parameter : network.store.parameters()) {
    parameter->velocity.copy_from(full(parameter->shape, -3.0f, DType::f32));
  }
  const StateSnapshot state = snapshot(network.store);
  std::vector<HostArray> arrays;
  for (const HostArrayView& array : checkpoint_arrays(state)) {
    arrays.push_back({.name = array.name,
                      .dtype = array.dtype,
                      .shape = {array.shape.begin(), array.shape.end()},
                      .bytes = {array.bytes.begin(), array.bytes.end()}});
  }
  Network other(10, Shortcut::b, {.compute = DType::bf16}, 4);
  initialize(other.store, 7);
  const StateSnapshot before = snapshot(other.store);
  const auto refused = [&](auto change, std::initializer_list<std::string> parts) {
    std::vector<HostArray> changed = arrays;
    change(changed);
    EXPECT_TRUE(fails_with([&] { restore("file", changed, 77, other.store); }, parts));
    const StateSnapshot after = snapshot(other.store);
    for (size_t i = 0; i < before.weights.size(); ++i) {
      EXPECT_EQ(after.weights[i].bytes, before.weights[i].bytes);
      EXPECT_EQ(after.velocities[i].bytes, before.velocities[i].bytes);
    }
  };
  refused([](auto& all) { std::erase_if(all, [](const HostArray& a) { return a.name == "running_variance.layer3.2.bn2"; }); },
          {"file", "no array named running_variance.layer3.2.bn2"});
  refused([](auto& all) { std::erase_if(all, [](const HostArray& a) { return a.name == "velocity.fc.bias"; }); },
          {"no array named velocity.fc.bias"});
  refused([](auto& all) { named(all, "weight.fc.weight").shape = {64, 10}; }, {"weight.fc.weight", "[64, 10]", "[10, 64]"});
  refused([](auto& all) { named(all, "running_mean.bn1").dtype = DType::i32; }, {"running_mean.bn1", "i32", "wanted f32"});

  restore("file", arrays, 77, other.store);
  expect_equal(other.store, network.store);
  const StateSnapshot after = snapshot(other.store);
  for (size_t i = 0; i < after.velocities.size(); ++i) {
    EXPECT_EQ(after.velocities[i].bytes, state.velocities[i].bytes) << after.velocities[i].name;
  }
  // The copies that convolutions read are renewed: bf16 keeps 8 bits.
  const Parameter& fc = other.store.parameter("fc.weight");
  EXPECT_NEAR(fc.value.to_vector()[5], fc.master.to_vector()[5], std::abs(fc.master.to_vector()[5]) / 256);
}

TEST(ModelWeights, TorchvisionTakesThemStrictly) {
  const std::string python = peer_python("torchvision, safetensors.torch");
  if (python.empty()) {
    GTEST_SKIP() << "RESIDUA_PYTHON names no Python with torchvision and safetensors";
  }
  const TemporaryFolder folder;
  ResNetConfig spec = named_resnet("resnet18");
  spec.classes = 10;
  ResNet model(spec);
  ParameterStore store(model);
  initialize(store, 5, FanMode::fan_out);
  save_weights(folder / "ours.safetensors", snapshot(store), {});
  write_bytes(folder / "peer.py", R"(
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
  load_weights(read_weights(folder / "theirs.safetensors"), doubled, "fc.");
  for (size_t i = 0; i < store.parameters().size(); ++i) {
    const Parameter& ours = *store.parameters()[i];
    std::vector<float> wanted = to_logical(ours, ours.master);
    std::ranges::for_each(wanted, [](float& value) { value *= 2; });
    EXPECT_EQ(to_logical(*doubled.parameters()[i], doubled.parameters()[i]->master), wanted) << ours.name;
  }
}

}  // namespace
}  // namespace residua::test
