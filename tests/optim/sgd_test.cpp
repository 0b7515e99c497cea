#include "core/optim/sgd.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>

#include "core/autograd/tape.h"
#include "core/nn/initialization.h"
#include "core/ops/softmax_cross_entropy.h"
#include "models/resnet.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

using ::testing::Each;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

/// Odd widths, so that every arena has padding between its parameters.
ResNetConfig small() { return {.stem = Stem::cifar, .blocks = {1, 1}, .width = 3, .stored_in_channels = 4, .classes = 5}; }

std::vector<float> wave(int64_t size, float frequency) {
  std::vector<float> values(static_cast<size_t>(size));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = std::sin(frequency * static_cast<float>(i + 1));
  }
  return values;
}

class SgdTest : public ::testing::TestWithParam<Device> {};

INSTANTIATE_TEST_SUITE_P(Devices, SgdTest, ::testing::ValuesIn(test_devices()),
                         [](const auto& info) { return info.param.type == Device::Type::cpu ? "cpu" : "cuda"; });

/// A model, its parameters and their optimizer, with one forward and backward pass at hand.
struct Training {
  explicit Training(Device device, ParameterStoreOptions layout = {}, const SgdOptions& options = {},
                    const std::optional<LossScaling>& scaling = {}, int64_t most_skipped = 0)
      : model(small()),
        store(model, (layout.device = device, layout)),
        scaler(device, scaling, most_skipped),
        sgd(store, scaler, options) {
    initialize(store, 11);
  }

  /// The order of a train step.
  void step() {
    scaler.check_gradients(store);
    sgd.step();
    store.commit_statistics(0.1f, scaler.state());
    scaler.finish_step();
  }
  /// Of the device, which the store's count follows.
  StepState state() {
    const StepState now = scaler.read();
    store.count_batches(now);
    return now;
  }

  void compute_gradients(float scale = 1.0f, float frequency = 0.7f) {
    std::vector<float> pixels = wave(4 * 6 * 6 * 4, frequency);
    for (size_t i = 3; i < pixels.size(); i += 4) {
      pixels[i] = 0;
    }
    const Tensor x = from_values({4, 6, 6, 4}, pixels, store.options().compute, store.options().device);
    const Tensor labels = from_values({4}, std::vector<float>{0, 3, 1, 4}, DType::i32, store.options().device);
    backward(softmax_cross_entropy(model.forward(x, Mode::train), labels).loss, scale);
  }

  std::map<std::string, std::vector<float>> masters() const {
    std::map<std::string, std::vector<float>> values;
    for (const Parameter* parameter : store.parameters()) {
      values[parameter->name] = parameter->master.to_vector();
    }
    return values;
  }

  ResNet model;
  ParameterStore store;
  GradScaler scaler;
  Sgd sgd;
};

/// PyTorch's rule, in double precision.
void reference_step(std::vector<double>& weight, std::vector<double>& velocity, const std::vector<float>& gradient, double rate,
                    double momentum, double decay, double scale) {
  for (size_t i = 0; i < weight.size(); ++i) {
    velocity[i] = momentum * velocity[i] + gradient[i] / scale + decay * weight[i];
    weight[i] -= rate * velocity[i];
  }
}

/// Gamma and beta, told by their names.
bool is_of_norm(const std::string& name) {
  return name.starts_with("bn") || name.find(".bn") != std::string::npos || name.find(".downsample.1.") != std::string::npos;
}

class SgdRule : public SgdTest {
 protected:
  void check(DType compute, bool no_bn_decay, const std::string& freeze_until = "");
};

INSTANTIATE_TEST_SUITE_P(Devices, SgdRule, ::testing::ValuesIn(test_devices()),
                         [](const auto& info) { return info.param.type == Device::Type::cpu ? "cpu" : "cuda"; });

void SgdRule::check(DType compute, bool no_bn_decay, const std::string& freeze_until) {
  const SgdOptions options{.momentum = 0.9f, .weight_decay = 0.01f, .no_bn_decay = no_bn_decay};
  Training training(GetParam(), {.compute = compute}, options, LossScaling{});
  if (!freeze_until.empty()) {
    training.store.freeze_until(freeze_until);
  }
  std::map<std::string, std::vector<double>> weights;
  std::map<std::string, std::vector<double>> velocities;
  for (const auto& [name, values] : training.masters()) {
    weights[name].assign(values.begin(), values.end());
    velocities[name].assign(values.size(), 0.0);
  }
  const float scale = 8.0f;
  training.scaler.set_loss_scale(scale);
  for (const float rate : {0.1f, 0.1f, 0.02f}) {
    training.scaler.set_learning_rate(rate);
    training.compute_gradients(scale, rate * 10);
    for (const Parameter* parameter : training.store.parameters()) {
      if (!parameter->frozen) {
        const double decay = no_bn_decay && is_of_norm(parameter->name) ? 0 : 0.01f;
        reference_step(weights[parameter->name], velocities[parameter->name], parameter->gradient.to_vector(), rate, 0.9f,
                       decay, scale);
      }
    }
    training.step();
    ASSERT_EQ(training.state().skipped_steps, 0);
  }
  for (const Parameter* parameter : training.store.parameters()) {
    const std::vector<float> master = parameter->master.to_vector();
    const std::vector<float> velocity = parameter->velocity.to_vector();
    const std::vector<double>& wanted = weights[parameter->name];
    const std::vector<double>& wanted_velocity = velocities[parameter->name];
    for (size_t i = 0; i < master.size(); ++i) {
      ASSERT_NEAR(master[i], wanted[i], 2e-6 * (0.1 + std::fabs(wanted[i]))) << parameter->name;
      ASSERT_NEAR(velocity[i], wanted_velocity[i], 2e-6 * (0.1 + std::fabs(wanted_velocity[i]))) << parameter->name;
    }
  }
}

TEST_P(SgdRule, IsPytorchsOverSeveralSteps) {
  for (const DType compute : {DType::f32, DType::bf16, DType::f16}) {
    check(compute, false);
  }
}

TEST_P(SgdRule, CanLeaveGammaAndBetaWithoutDecay) {
  for (const DType compute : {DType::f32, DType::bf16}) {
    check(compute, true);
    check(compute, true, "layer1.0.conv1");
  }
}

TEST_P(SgdTest, SixteenBitCopiesAreTheRoundedMasters) {
  Training training(GetParam(), {.compute = DType::bf16});
  training.scaler.set_learning_rate(0.1f);
  training.compute_gradients();
  training.step();
  for (const Parameter* parameter : training.store.parameters()) {
    if (parameter->role == ParameterRole::matrix) {
      std::vector<float> wanted = parameter->master.to_vector();
      for (float& value : wanted) {
        value = to_float(from_float<bf16>(value));
      }
      EXPECT_THAT(parameter->value.to_vector(), ElementsAreArray(wanted)) << parameter->name;
    }
  }
}

TEST_P(SgdTest, PaddingStaysZero) {
  Training training(GetParam(), {.compute = DType::bf16});
  training.scaler.set_learning_rate(0.1f);
  for (int i = 0; i < 3; ++i) {
    training.compute_gradients();
    training.step();
  }
  for (const ParameterRole role : {ParameterRole::matrix, ParameterRole::vector}) {
    const ParameterArena& arena = role == ParameterRole::matrix ? training.store.matrices() : training.store.vectors();
    std::vector<float> master = arena.master.to_vector();
    std::vector<float> velocity = arena.velocity.to_vector();
    for (const Parameter* parameter : training.store.parameters()) {
      if (parameter->role == role) {
        const int64_t offset = parameter->master.data<float>() - arena.master.data<float>();
        std::fill_n(master.begin() + offset, parameter->shape.size(), 0.0f);
        std::fill_n(velocity.begin() + offset, parameter->shape.size(), 0.0f);
      }
    }
    EXPECT_THAT(master, Each(0.0f));
    EXPECT_THAT(velocity, Each(0.0f));
  }
  const Parameter& stem = training.store.parameter("conv1.weight");
  const std::vector<float> weights = stem.master.to_vector();
  for (size_t i = 3; i < weights.size(); i += 4) {
    EXPECT_EQ(weights[i], 0.0f) << "a weight of the input channel that is not there";
  }
}

TEST_P(SgdTest, RunningStatisticsArePytorchs) {
  Training training(GetParam());
  training.scaler.set_learning_rate(0.1f);
  std::map<std::string, std::vector<double>> means;
  std::map<std::string, std::vector<double>> variances;
  for (const RunningStatistics* layer : training.store.statistics()) {
    means[layer->name].assign(static_cast<size_t>(layer->channels), 0.0);
    variances[layer->name].assign(static_cast<size_t>(layer->channels), 1.0);
  }
  for (const float frequency : {0.7f, 1.3f}) {
    training.compute_gradients(1.0f, frequency);
    for (const RunningStatistics* layer : training.store.statistics()) {
      const bool halved = layer->name.starts_with("layer2");
      const double n = 4.0 * (halved ? 3 * 3 : 6 * 6);
      for (size_t c = 0; c < static_cast<size_t>(layer->channels); ++c) {
        double& mean = means[layer->name][c];
        double& variance = variances[layer->name][c];
        mean = 0.9 * mean + 0.1 * layer->batch_mean.to_vector()[c];
        variance = 0.9 * variance + 0.1 * layer->batch_variance.to_vector()[c] * n / (n - 1);
      }
    }
    training.step();
  }
  EXPECT_EQ(training.state().accepted_steps, 2);
  EXPECT_EQ(training.store.batches_tracked, 2);
  for (const RunningStatistics* layer : training.store.statistics()) {
    for (size_t c = 0; c < static_cast<size_t>(layer->channels); ++c) {
      EXPECT_NEAR(layer->running_mean.to_vector()[c], means[layer->name][c], 1e-6) << layer->name;
      EXPECT_NEAR(layer->running_variance.to_vector()[c], variances[layer->name][c], 1e-6) << layer->name;
    }
  }
}

TEST_P(SgdTest, AnOverflowedStepChangesNothing) {
  for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    for (const char* name : {"layer1.0.conv1.weight", "fc.bias"}) {
      Training training(GetParam(), {}, {}, LossScaling{.initial = 1.0f});
      training.scaler.set_learning_rate(0.1f);
      training.compute_gradients();
      training.step();
      ASSERT_EQ(training.state().skipped_steps, 0);
      const auto masters = training.masters();
      const std::vector<float> velocity = training.store.matrices().velocity.to_vector();
      const std::vector<float> mean = training.store.statistics_arena().running_mean.to_vector();
      const std::vector<float> variance = training.store.statistics_arena().running_variance.to_vector();

      training.compute_gradients(1.0f, 1.9f);
      const Parameter& parameter = training.store.parameter(name);
      std::vector<float> gradient = parameter.gradient.to_vector();
      gradient.back() = bad;
      parameter.gradient.copy_from(gradient);
      training.step();
      EXPECT_EQ(training.state().skipped_steps, 1);
      EXPECT_EQ(training.masters(), masters);
      EXPECT_THAT(training.store.matrices().velocity.to_vector(), ElementsAreArray(velocity));
      EXPECT_THAT(training.store.statistics_arena().running_mean.to_vector(), ElementsAreArray(mean));
      EXPECT_THAT(training.store.statistics_arena().running_variance.to_vector(), ElementsAreArray(variance));

      training.compute_gradients();
      training.step();
      EXPECT_EQ(training.state().skipped_steps, 1) << "an overflow must not outlive its step";
      EXPECT_NE(training.masters(), masters);
    }
  }
}

TEST_P(SgdTest, FrozenParametersStayAndTheOthersFollowTheRule) {
  for (const DType compute : {DType::f32, DType::bf16, DType::f16}) {
    const float scale = 8.0f;
    Training training(GetParam(), {.compute = compute}, {.momentum = 0.9f, .weight_decay = 0.1f},
                      LossScaling{.initial = scale});
    training.store.freeze_until("layer1");
    const auto before = training.masters();
    std::map<std::string, std::vector<double>> weights, velocities;
    for (const auto& [name, values] : before) {
      weights[name].assign(values.begin(), values.end());
      velocities[name].assign(values.size(), 0.0);
    }
    for (const float frequency : {0.7f, 1.3f}) {
      training.scaler.set_learning_rate(0.1f);
      training.compute_gradients(scale, frequency);
      for (const Parameter* parameter : training.store.parameters()) {
        if (!parameter->frozen) {
          reference_step(weights[parameter->name], velocities[parameter->name], parameter->gradient.to_vector(), 0.1, 0.9, 0.1f,
                         scale);
        }
      }
      training.step();
    }
    ASSERT_EQ(training.state().accepted_steps, 2);
    int64_t frozen = 0;
    for (const Parameter* parameter : training.store.parameters()) {
      const std::vector<float> now = parameter->master.to_vector();
      const std::vector<double>& wanted = weights[parameter->name];
      EXPECT_EQ(parameter->frozen, parameter->name.starts_with("conv1.") || parameter->name.starts_with("bn1.") ||
                                       parameter->name.starts_with("layer1."))
          << parameter->name;
      EXPECT_EQ(now == before.at(parameter->name), parameter->frozen) << parameter->name;
      for (size_t i = 0; i < now.size(); ++i) {
        ASSERT_TRUE(std::isfinite(now[i])) << parameter->name;
        EXPECT_NEAR(now[i], wanted[i], 1e-5 * (1 + std::fabs(wanted[i]))) << parameter->name << " " << i;
      }
      frozen += parameter->frozen ? 1 : 0;
    }
    EXPECT_EQ(frozen, 3 + 6);
    for (const RunningStatistics* layer : training.store.statistics()) {
      const size_t channels = static_cast<size_t>(layer->channels);
      EXPECT_EQ(layer->frozen, !layer->name.starts_with("layer2")) << layer->name;
      EXPECT_EQ(layer->running_mean.to_vector() == std::vector<float>(channels, 0.0f), layer->frozen) << layer->name;
      EXPECT_EQ(layer->running_variance.to_vector() == std::vector<float>(channels, 1.0f), layer->frozen) << layer->name;
    }
  }
}

TEST_P(SgdTest, StepWithoutGradientsFails) {
  Training training(GetParam());
  training.compute_gradients();
  training.step();
  try {
    training.step();
    FAIL() << "a step was made from gradients that were used before";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("conv1.weight got no gradient"));
  }
}

/// One step whose gradients are all finite, or not.
void step(Training& training, bool overflow) {
  training.compute_gradients();
  if (overflow) {
    const Parameter& parameter = training.store.parameter("fc.bias");
    parameter.gradient.copy_from(std::vector<float>(5, std::numeric_limits<float>::infinity()));
  }
  training.step();
}

TEST_P(SgdTest, TheLossScaleGrowsAfterAnIntervalAndShrinksOnOverflow) {
  Training training(GetParam(), {}, {}, LossScaling{.initial = 1024, .growth_interval = 3});
  const auto scale = [&] { return training.scaler.loss_scale().item(); };
  step(training, false);
  step(training, false);
  EXPECT_EQ(scale(), 1024);
  step(training, false);
  EXPECT_EQ(scale(), 2048);
  step(training, false);
  step(training, false);
  step(training, true);
  EXPECT_EQ(scale(), 1024);
  EXPECT_EQ(training.state().good_steps, 0);
  step(training, false);
  step(training, false);
  EXPECT_EQ(scale(), 1024);
  EXPECT_EQ(training.state().accepted_steps, 7);
  EXPECT_EQ(training.state().skipped_steps, 1);
  EXPECT_EQ(training.store.batches_tracked, 7) << "a skipped step has no part in the running statistics";

  training.scaler.set_loss_scale(64, 2);
  step(training, false);
  EXPECT_EQ(scale(), 128);
  training.scaler.set_loss_scale(0x1p24f, 2);
  step(training, false);
  EXPECT_EQ(scale(), 0x1p24f) << "the scale must not overflow itself";
}

TEST_P(SgdTest, WithoutScalingABadStepIsSkippedToo) {
  Training training(GetParam());
  training.scaler.set_learning_rate(0.1f);
  EXPECT_EQ(training.scaler.loss_scale().item(), 1);
  const auto before = training.masters();
  step(training, true);
  EXPECT_EQ(training.masters(), before);
  EXPECT_EQ(training.state().accepted_steps, 0);
  EXPECT_EQ(training.state().skipped_steps, 1);
  EXPECT_EQ(training.state().skipped_in_a_row, 1);
  EXPECT_EQ(training.scaler.loss_scale().item(), 1);
  step(training, false);
  EXPECT_NE(training.masters(), before);
  EXPECT_EQ(training.state().skipped_in_a_row, 0);
}

TEST_P(SgdTest, GoingOnWithAScaleKeepsTheRestOfTheState) {
  Training training(GetParam(), {}, {}, LossScaling{.initial = 1024, .growth_interval = 3});
  training.scaler.set_learning_rate(0.25f);
  step(training, false);
  step(training, true);
  training.scaler.set_loss_scale(64, 2);
  const StepState state = training.state();
  EXPECT_EQ(state.learning_rate, 0.25f);
  EXPECT_EQ(state.loss_scale, 64);
  EXPECT_EQ(state.good_steps, 2);
  EXPECT_EQ(state.accepted_steps, 1);
  EXPECT_EQ(state.skipped_steps, 1);
  EXPECT_EQ(training.state().accepted_steps, 1);
  EXPECT_EQ(training.store.batches_tracked, 1) << "a state that is read twice counts once";
}

TEST_P(SgdTest, TheLossScaleFallsToItsFloorBeforeARowCounts) {
  Training training(GetParam(), {}, {}, LossScaling{.initial = 0x1p-13f}, 2);
  step(training, true);
  EXPECT_EQ(training.state().loss_scale, 0x1p-14f);
  EXPECT_EQ(training.state().skipped_in_a_row, 0);
  step(training, true);
  EXPECT_EQ(training.state().loss_scale, 0x1p-14f);
  EXPECT_EQ(training.state().skipped_in_a_row, 1);
  EXPECT_EQ(training.state().diverged_at, 0);
  step(training, true);
  EXPECT_EQ(training.state().loss_scale, 0x1p-14f);
  EXPECT_EQ(training.state().diverged_at, 3);
}

TEST_P(SgdTest, AfterDivergenceNothingChangesUntilARestart) {
  Training training(GetParam(), {}, {}, {}, 2);
  training.scaler.set_learning_rate(0.1f);
  step(training, false);
  step(training, true);
  step(training, true);
  const auto masters = training.masters();
  step(training, false);
  step(training, false);
  EXPECT_EQ(training.masters(), masters);
  EXPECT_EQ(training.state().diverged_at, 3);
  EXPECT_EQ(training.state().skipped_steps, 4);
  EXPECT_EQ(steps_since_divergence(training.state()), 2);
  training.scaler.restart(7, 1);
  EXPECT_EQ(steps_since_divergence(training.state()), 0);
  step(training, false);
  EXPECT_NE(training.masters(), masters);
  const StepState state = training.state();
  EXPECT_EQ(state.skipped_steps, 7);
  EXPECT_EQ(state.skipped_in_a_row, 0);
  EXPECT_EQ(state.diverged_at, 0);
  EXPECT_EQ(state.accepted_steps, 2);
  EXPECT_EQ(state.learning_rate, 0.1f);
}

TEST_P(SgdTest, BadOptionsAreRefused) {
  EXPECT_THROW(Training(GetParam(), {}, {.momentum = -0.1f}), UsageError);
  EXPECT_THROW(Training(GetParam(), {}, {.weight_decay = std::numeric_limits<float>::quiet_NaN()}), UsageError);
  EXPECT_THROW(Training(GetParam(), {.purpose = Purpose::inference}), UsageError);
  Training training(GetParam());
  EXPECT_THROW(training.scaler.set_learning_rate(std::numeric_limits<float>::quiet_NaN()), UsageError);
  EXPECT_THROW(training.scaler.set_learning_rate(-1.0f), UsageError);
  EXPECT_THROW(training.scaler.set_loss_scale(0.0f), Error);
  EXPECT_THROW(training.scaler.set_loss_scale(std::numeric_limits<float>::quiet_NaN()), Error);
  EXPECT_THROW(training.scaler.set_loss_scale(1.0f, -1), Error);
  for (const LossScaling& bad :
       {LossScaling{.initial = 0}, LossScaling{.growth = 0.5f}, LossScaling{.backoff = 1}, LossScaling{.growth_interval = 0}}) {
    EXPECT_THROW(GradScaler(GetParam(), bad), UsageError);
  }
}

}  // namespace
}  // namespace residua::test
