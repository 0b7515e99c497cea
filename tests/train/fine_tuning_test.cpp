// Training from a file of weights: a new classifier for other classes, and layers that stay as they are.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "core/autograd/tape.h"
#include "core/device/profile.h"
#include "core/nn/state_dict.h"
#include "core/ops/softmax_cross_entropy.h"
#include "tests/support/own_setting.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/small_run.h"

namespace residua::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// A weights file of a run on the small run's 4 classes.
std::string trained_weights(const TemporaryFolder& folder) {
  SmallRun run(folder / "first");
  run.set("iterations", {"2"}).set("seed", {"3"});
  EXPECT_EQ(run.train(), 0);
  return folder / "first/last.safetensors";
}

/// A network's arrays by name, as a weights file has them.
std::map<std::string, std::vector<float>> arrays_of(const std::string& path) {
  std::map<std::string, std::vector<float>> arrays;
  for (const HostArray& array : load_safetensors(path).arrays) {
    if (is_floating(array.dtype)) {
      arrays[array.name] = array.to_floats();
    }
  }
  return arrays;
}

std::map<std::string, std::vector<float>> arrays_of(const ParameterStore& store) {
  std::map<std::string, std::vector<float>> arrays;
  const StateSnapshot state = snapshot(store);
  for (const HostArrayView& array : weight_arrays(state)) {
    if (array.dtype == DType::f32) {
      const auto* first = reinterpret_cast<const float*>(array.bytes.data());
      arrays[array.name] = {first, first + array.bytes.size() / sizeof(float)};
    }
  }
  return arrays;
}

std::string refusal(SmallRun& run) {
  try {
    run.trainer();
    return "";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
    return error.what();
  }
}

TEST(FineTuning, FrozenLayersStayBitForBitAndTheOthersMove) {
  const TemporaryFolder folder;
  const std::string weights = trained_weights(folder);
  const auto before = arrays_of(weights);
  const std::vector<std::pair<std::string, std::string>> variants = {{"precision", "fp32"}, {"precision", "bf16"},
                                                                     {"precision", "fp16"}, {"accumulate", "2"},
                                                                     {"bn-group", "6"},     {"exact-bn", "20"}};
  for (const auto& [setting, value] : variants) {
    SCOPED_TRACE(setting + "=" + value);
    const std::string output = folder / (setting + value);
    SmallRun run(output);
    run.set("weights", {weights}).set("freeze-until", {"layer2.0.conv1"}).set(setting, {value}).set("weight-decay", {"0.1"});
    ASSERT_EQ(run.train(), 0);
    const auto after = arrays_of(output + "/last.safetensors");
    ASSERT_EQ(after.size(), before.size());
    int frozen = 0;
    for (const auto& [name, values] : after) {
      const bool stays = name.starts_with("conv1.") || name.starts_with("bn1.") || name.starts_with("layer1.") ||
                         name.starts_with("layer2.0.conv1.") || name == "input.mean";
      EXPECT_EQ(values == before.at(name), stays) << name;
      frozen += stays ? 1 : 0;
    }
    EXPECT_EQ(frozen, 1 + 4 + 3 * 10 + 1 + 1) << "with the mean image";
    for (const HostArray& array : load_safetensors(newest_checkpoint(output)).arrays) {
      if (array.name.starts_with("velocity.layer1.")) {
        EXPECT_EQ(array.to_floats(), std::vector<float>(static_cast<size_t>(array.size()))) << array.name;
      }
    }
  }
}

TEST(FineTuning, AResumedRunKeepsThemFrozen) {
  const TemporaryFolder folder;
  const std::string weights = trained_weights(folder);
  const auto prepare = [&](SmallRun& run) -> SmallRun& {
    return run.set("weights", {weights}).set("freeze-until", {"layer2"});
  };
  SmallRun whole(folder / "whole");
  ASSERT_EQ(prepare(whole).train(), 0);
  {
    SmallRun half(folder / "halves");
    ASSERT_EQ(prepare(half).set("iterations", {"3"}).train(), 0);
  }
  SmallRun rest(folder / "halves");
  ASSERT_EQ(prepare(rest).resume(newest_checkpoint(folder / "halves")).train(), 0);
  EXPECT_EQ(arrays_of(folder / "halves/last.safetensors"), arrays_of(folder / "whole/last.safetensors"));
}

TEST(FineTuning, FrozenNormsUseTheirRunningStatisticsInTraining) {
  const TemporaryFolder folder;
  SmallRun run(folder / "run");
  run.set("weights", {trained_weights(folder)}).set("freeze-until", {"layer3"});
  ParameterStore& store = run.trainer().store();
  const Tensor x = full({2, 16, 16, 3}, 0.5f, DType::f32);
  Module& module = *run.network().module;
  const std::vector<float> training = module.forward(x, Mode::train).to_vector();
  EXPECT_EQ(training, module.forward(x, Mode::evaluate).to_vector());
  ASSERT_TRUE(std::isfinite(training[0]));
  // The batch's own statistics would give something else.
  SmallRun other(folder / "other");
  other.set("weights", {folder / "first/last.safetensors"});
  other.trainer();
  EXPECT_NE(training, other.network().module->forward(x, Mode::train).to_vector());
  EXPECT_FALSE(store.parameter("layer3.2.bn2.weight").value.requires_grad());
  EXPECT_TRUE(store.parameter("fc.weight").value.requires_grad());
}

TEST(FineTuning, NothingGoesBackwardThroughFrozenLayers) {
  const TemporaryFolder folder;
  SmallRun run(folder / "run");
  run.set("weights", {trained_weights(folder)}).set("freeze-until", {"layer2"});
  run.trainer();
  const profile::Recorder recorder;
  const Tensor logits = run.network().module->forward(full({2, 16, 16, 3}, 0.5f, DType::f32), Mode::train);
  backward(softmax_cross_entropy(logits, from_values({2}, std::vector<float>{0, 1}, DType::i32), 0).loss);
  int forward = 0;
  std::map<std::string, int64_t> backwards;
  for (const auto& [key, entry] : recorder.entries()) {
    const auto& [layer, contract] = key;
    forward += contract == "ConvolutionForward" ? static_cast<int>(entry.calls) : 0;
    if (contract.starts_with("ConvolutionBackward")) {
      backwards[layer.substr(0, 6)] += entry.calls;
    }
  }
  EXPECT_EQ(forward, 19);
  // Six convolutions, each by weights and by data; the first one's data need no gradient.
  EXPECT_EQ(backwards, (std::map<std::string, int64_t>{{"layer3", 11}}));
}

TEST(FineTuning, ANewClassifierLeavesTheOtherWeights) {
  const TemporaryFolder folder;
  const auto stored = arrays_of(trained_weights(folder));
  SmallRun run(folder / "run");
  run.training = nullptr;
  run.set("weights", {folder / "first/last.safetensors"})
      .set("reset-classifier", {"true"})
      .set("synthetic-classes", {"3"})
      .set("seed", {"8"});
  const auto got = arrays_of(run.trainer().store());

  SmallRun fresh(folder / "fresh");
  fresh.training = nullptr;
  fresh.set("synthetic-classes", {"3"}).set("seed", {"8"});
  const auto initialized = arrays_of(fresh.trainer().store());
  EXPECT_EQ(got.at("fc.weight").size(), 3U * 64);
  for (const auto& [name, values] : got) {
    EXPECT_EQ(values, name.starts_with("fc.") ? initialized.at(name) : stored.at(name)) << name;
  }
  EXPECT_EQ(run.trainer().train(kNeverStop), 0);
  EXPECT_EQ(load_safetensors(folder / "run/last.safetensors").find("fc.weight")->shape, (std::vector<int64_t>{3, 64}));
}

TEST(FineTuning, OtherClassesAreRefusedWithTheWayOut) {
  const TemporaryFolder folder;
  const std::string weights = trained_weights(folder);
  const auto with = [&](const std::string& file, const char* classes) {
    SmallRun run(folder / "run");
    run.training = nullptr;
    return refusal(run.set("weights", {file}).set("synthetic-classes", {classes}));
  };
  EXPECT_EQ(with(weights, "4"), "");
  EXPECT_EQ(with(weights, "3"),
            "weights: got '" + weights +
                "', wanted weights for the data's 3 classes, but these have 4; reset-classifier starts a new classifier on top "
                "of the other weights");
  // torchvision's files have no names of classes.
  Safetensors file = load_safetensors(weights);
  const auto save_with = [&](const SafetensorsMetadata& metadata) {
    save_safetensors(folder / "other.safetensors", views(file.arrays), metadata);
    return folder / "other.safetensors";
  };
  EXPECT_THAT(with(save_with({}), "3"), HasSubstr("these have 4; reset-classifier"));
  EXPECT_EQ(with(save_with({}), "4"), "");
  file.metadata["classes"] = R"(["disc","ring","cat","dog"])";
  const std::string renamed = with(save_with(file.metadata), "4");
  EXPECT_THAT(renamed, HasSubstr("cat"));
  EXPECT_THAT(renamed, HasSubstr("reset-classifier"));
}

// Most options change no shape: only the file's metadata tell that the weights are of another network.
TEST(FineTuning, WeightsOfOtherOptionsAreRefusedByName) {
  const TemporaryFolder folder;
  const std::string weights = trained_weights(folder);
  const auto with = [&](const std::string& file, const std::vector<Assignment>& options) {
    SmallRun run(folder / "run");
    for (const Assignment& option : options) {
      run.set(option.key, option.words);
    }
    return refusal(run.set("weights", {file}));
  };
  EXPECT_EQ(with(weights, {}), "");
  EXPECT_EQ(with(weights, {{"shortcut", {"A"}}, {"shortcut-pad", {"end"}}}), "") << "the same";
  EXPECT_EQ(with(weights, {{"shortcut-pad", {"both"}}}),
            "shortcut-pad: got 'both', wanted end, the value of the network in " + weights);
  EXPECT_THAT(with(weights, {{"shortcut-pool", {"average"}}}), HasSubstr("shortcut-pool: got 'average', wanted stride, the"));
  EXPECT_THAT(with(weights, {{"shortcut", {"B"}}}), HasSubstr("shortcut: got 'B', wanted A, the"));
  EXPECT_THAT(with(weights, {{"shortcut", {"B"}}, {"reset-classifier", {"true"}}}), HasSubstr("shortcut: got 'B', wanted A"));
  EXPECT_THAT(with(weights, {{"model", {"plain20"}}}), HasSubstr("shortcut: got 'none', wanted A, the"));
  const Safetensors file = load_safetensors(weights);
  save_safetensors(folder / "bare.safetensors", views(file.arrays));  // as torchvision's
  EXPECT_EQ(with(folder / "bare.safetensors", {{"shortcut-pad", {"both"}}}), "");
}

TEST(FineTuning, RefusesWhatMakesNoSense) {
  const TemporaryFolder folder;
  const std::string weights = trained_weights(folder);
  const auto frozen = [&](const std::string& file, const std::string& module) {
    SmallRun run(folder / "run");
    if (!file.empty()) {
      run.set("weights", {file});
    }
    return refusal(run.set("freeze-until", {module}));
  };
  EXPECT_EQ(frozen(weights, "layer3"), "");
  EXPECT_EQ(frozen(weights, "layer9"),
            "freeze-until: got 'layer9', wanted conv1, bn1, layer1, layer2, layer3, or a module inside one of them");
  EXPECT_THAT(frozen(weights, "fc"), HasSubstr("would leave nothing to train"));
  EXPECT_THAT(frozen(weights, "lay"), HasSubstr("got 'lay'"));
  EXPECT_THAT(frozen("", "layer1"), HasSubstr("freeze-until: got 'layer1', wanted weights too"));
  SmallRun reset(folder / "run");
  EXPECT_THAT(refusal(reset.set("reset-classifier", {"true"})), HasSubstr("reset-classifier: got 'true', wanted weights too"));
}

TEST(FineTuning, SaysHowMuchIsTrained) {
  const TemporaryFolder folder;
  SmallRun run(folder / "run");
  run.set("weights", {trained_weights(folder)}).set("freeze-until", {"layer3"}).trainer();
  // 4 classes of 64 features, and their biases; ResNet-20 has 16 channels in its first layer.
  EXPECT_THAT(run.observer.notes, testing::Contains(HasSubstr("frozen until layer3: 260 of 269332 parameters are trained")));
}

const RegisterOwnSetting reset({"reset-classifier", {"true"}, {"false"}});
const RegisterOwnSetting freeze({"freeze-until", {"layer1"}, {"layer2.0"}});

}  // namespace
}  // namespace residua::test
