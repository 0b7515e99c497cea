// Steps with a number that is not finite: each is skipped whole, in every precision, captured or not.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>

#include "core/autograd/tape.h"
#include "tests/train/small_step.h"

namespace residua::test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

class SkippedSteps : public ::testing::TestWithParam<Setup> {
 protected:
  static std::optional<LossScaling> scaling() {
    return GetParam().precision == DType::f16 ? std::optional(LossScaling{.initial = 256, .growth_interval = 1000})
                                              : std::nullopt;
  }
};

INSTANTIATE_TEST_SUITE_P(All, SkippedSteps, ::testing::ValuesIn(setups()), [](const auto& info) {
  return fmt::format("{}_{}", info.param.device.type == Device::Type::cpu ? "cpu" : "cuda", name(info.param.precision));
});

/// The bits of all that a step may change: weights, momentum, 16-bit copies, running statistics and metrics.
std::vector<uint32_t> bits_of(SmallTraining& t) {
  std::vector<uint32_t> bits;
  const auto add = [&](const Tensor& tensor) {
    if (tensor.defined()) {
      for (const float value : tensor.to_vector()) {
        bits.push_back(std::bit_cast<uint32_t>(value));
      }
    }
  };
  for (const ParameterArena* arena : {&t.store.matrices(), &t.store.vectors()}) {
    add(arena->master);
    add(arena->velocity);
    add(arena->copy);
  }
  add(t.store.statistics_arena().running_mean);
  add(t.store.statistics_arena().running_variance);
  const MetricsTotals totals = t.step.metrics().totals();
  for (const uint64_t number : {std::bit_cast<uint64_t>(totals.loss), static_cast<uint64_t>(totals.images),
                                static_cast<uint64_t>(totals.top1_errors), static_cast<uint64_t>(totals.top5_errors)}) {
    bits.push_back(static_cast<uint32_t>(number));
    bits.push_back(static_cast<uint32_t>(number >> 32));
  }
  return bits;
}

/// One image of the batch has a color shift that is not finite, and so has pixels that are not.
Batch bad_batch(uint64_t seed, float bad = kNan) {
  Batch batch = random_batch(seed);
  views_in(batch.views)[3].color_shift[1] = bad;
  return batch;
}

void good_step(SmallTraining& t, uint64_t seed) {
  t.scaler.set_learning_rate(0.02f);
  t.step.train(random_batch(seed));
}

/// Expects that a step on `batch` changes nothing, and that the count of skipped steps is then `skipped`.
void expect_skipped(SmallTraining& t, const Batch& batch, int64_t skipped) {
  const std::vector<uint32_t> before = bits_of(t);
  const int64_t accepted = t.step.state().accepted_steps;
  const int64_t tracked = t.store.batches_tracked;
  t.step.train(batch);
  EXPECT_TRUE(bits_of(t) == before);
  EXPECT_EQ(t.step.state().skipped_steps, skipped);
  EXPECT_EQ(t.step.state().accepted_steps, accepted);
  EXPECT_EQ(t.store.batches_tracked, tracked);
}

TEST_P(SkippedSteps, ABadImageSpoilsItsStepAlone) {
  const auto [device, precision] = GetParam();
  for (const Capture capture : {Capture::off, Capture::on}) {
    for (const int64_t most : {int64_t{0}, kBatch / 2}) {  // in one pass, and in two
      SmallTraining t(device, precision, capture, scaling(), 1, most);
      for (uint64_t i = 0; i < 4; ++i) {
        good_step(t, i);
      }
      int64_t skipped = 0;
      for (const float bad : {kNan, kInfinity, -kInfinity}) {
        expect_skipped(t, bad_batch(10, bad), ++skipped);
        const std::vector<uint32_t> before = bits_of(t);
        good_step(t, 11);
        EXPECT_TRUE(bits_of(t) != before);
        EXPECT_EQ(t.step.state().skipped_in_a_row, 0);
      }
      EXPECT_EQ(t.step.state().accepted_steps, 7);
      EXPECT_EQ(t.step.metrics().read().images, 7 * (kBatch - 1));
      for (const float value : t.statistics()) {
        ASSERT_TRUE(std::isfinite(value));
      }
    }
  }
}

// As if the bad batches had never been: in fp16 the loss scale is the same power of two in all steps of both.
TEST_P(SkippedSteps, TrainingGoesOnAsWithoutThem) {
  const auto [device, precision] = GetParam();
  SmallTraining without(device, precision, Capture::on, scaling());
  SmallTraining with(device, precision, Capture::on, scaling());
  for (uint64_t i = 0; i < 5; ++i) {
    good_step(without, i);
    good_step(with, i);
    if (i == 1 || i == 3) {
      with.step.train(bad_batch(20 + i));
      if (scaling()) {
        with.scaler.set_loss_scale(256);
      }
    }
  }
  EXPECT_EQ(with.step.state().skipped_steps, 2);
  EXPECT_TRUE(bits_of(with) == bits_of(without));
}

TEST_P(SkippedSteps, ABadMeanDeviationOrWeightSpoilsEachStep) {
  const auto [device, precision] = GetParam();
  using Plant = std::function<void(SmallTraining&)>;
  const auto spoil = [](const Tensor& tensor, float bad) {
    std::vector<float> values = tensor.to_vector();
    values[values.size() / 2] = bad;
    tensor.copy_from(values);
  };
  for (const float bad : {kNan, kInfinity}) {
    for (const Plant& plant : {Plant([&](SmallTraining& t) { spoil(t.input.mean, bad); }),
                               Plant([&](SmallTraining& t) { spoil(t.input.inverse_std, bad); }),
                               Plant([&](SmallTraining& t) { spoil(t.store.parameter("layer2.0.conv2.weight").master, bad); }),
                               Plant([&](SmallTraining& t) { spoil(t.store.parameter("layer3.0.bn1.bias").master, bad); }),
                               Plant([&](SmallTraining& t) { spoil(t.store.parameter("fc.bias").master, bad); })}) {
      SmallTraining t(device, precision, Capture::off, scaling());
      good_step(t, 0);
      plant(t);
      t.store.masters_changed();
      expect_skipped(t, random_batch(1), 1);
      expect_skipped(t, random_batch(2), 2);
    }
  }
}

/// A network whose last operation spoils one image's loss or gradient.
class Spoiler final : public Module {
 public:
  explicit Spoiler(Module& inner) : inner_(inner) {}
  Tensor forward(const Tensor& x, Mode mode) override {
    const Tensor logits = inner_.forward(x, mode);
    std::vector<float> values = logits.to_vector();
    if (loss) {
      values[static_cast<size_t>(label)] = -kInfinity;  // the label's softmax is 0: its loss is infinite, its gradient is not
    }
    const Tensor y = empty_like(logits);
    y.copy_from(values);
    return record(y, {logits}, "spoil", [spoils = gradient](const Tensor& dy, Gradients& gradients) {
      std::vector<float> dx = dy.to_vector();
      dx[0] = spoils ? kNan : dx[0];
      gradients.output(0).copy_from(dx);
    });
  }
  Shape summarize(const std::string& name, const Shape& input, std::vector<LayerSummary>& rows) const override {
    return inner_.summarize(name, input, rows);
  }

  bool loss = false;
  bool gradient = false;
  int64_t label = 0;

 private:
  Module& inner_;
};

bool all_finite(const Tensor& x) {
  const std::vector<float> values = x.to_vector();
  return std::ranges::all_of(values, [](float value) { return std::isfinite(value); });
}

TEST_P(SkippedSteps, ALossAloneOrAGradientAloneIsEnough) {
  const auto [device, precision] = GetParam();
  for (const bool of_loss : {true, false}) {
    SmallTraining t(device, precision, Capture::off, scaling());
    Spoiler spoiler(t.model);
    TrainStep step(spoiler, t.store, t.scaler, t.sgd, {.input = t.input, .capture = Capture::off});
    const Batch batch = random_batch(1);
    spoiler.label = batch.labels.span<int32_t>()[0];
    t.scaler.set_learning_rate(0.02f);
    step.train(batch);
    ASSERT_EQ(t.scaler.read().accepted_steps, 1);
    (of_loss ? spoiler.loss : spoiler.gradient) = true;
    const std::vector<uint32_t> before = bits_of(t);
    step.train(batch);
    EXPECT_TRUE(bits_of(t) == before);
    EXPECT_EQ(t.scaler.read().skipped_steps, 1);
    EXPECT_EQ(all_finite(t.store.matrices().gradient) && all_finite(t.store.vectors().gradient), of_loss);
    EXPECT_EQ(step.metrics().read().images, kBatch - 1);
  }
}

// Nothing writes the gradients of what is frozen, so nobody knows what is in their memory.
TEST_P(SkippedSteps, GradientsOfWhatIsFrozenDoNotCount) {
  const auto [device, precision] = GetParam();
  SmallTraining t(device, precision, Capture::off, scaling());
  t.store.freeze_until("layer2");
  ASSERT_GT(t.store.matrices().frozen, 0);
  ASSERT_GT(t.store.vectors().frozen, 0);
  for (const ParameterArena* arena : {&t.store.matrices(), &t.store.vectors()}) {
    const Tensor frozen = arena->gradient.slice(0, {arena->frozen});
    frozen.copy_from(std::vector<float>(static_cast<size_t>(frozen.size()), kNan));
  }
  good_step(t, 1);
  EXPECT_EQ(t.step.state().accepted_steps, 1);
  EXPECT_EQ(t.step.state().skipped_steps, 0);
}

// Its layer's output is then beta, whatever the image: the loss and the gradients are finite, the statistics are not.
TEST_P(SkippedSteps, AVarianceThatOverflowsSpoilsItsStep) {
  const auto [device, precision] = GetParam();
  if (precision == DType::f16) {
    return;  // no fp16 number has such a square
  }
  for (const int64_t most : {int64_t{0}, kBatch / 2}) {  // in one pass, and in two
    SmallTraining t(device, precision, Capture::off, {}, 1, most);
    good_step(t, 0);
    const Tensor& weight = t.store.parameter("layer1.0.conv1.weight").master;
    std::vector<float> values = weight.to_vector();
    for (float& value : values) {
      value *= 1e22f;
    }
    weight.copy_from(values);
    t.store.masters_changed();
    expect_skipped(t, random_batch(1), 1);
  }
}

TEST_P(SkippedSteps, TooManyInARowEndTraining) {
  const auto [device, precision] = GetParam();
  const bool scaled = precision == DType::f16;
  const auto at_the_floor = scaled ? std::optional(LossScaling{.initial = 0x1p-13f, .growth_interval = 1000}) : std::nullopt;
  for (const Capture capture : {Capture::off, Capture::on}) {
    SmallTraining t(device, precision, capture, at_the_floor, 1, 0, 3);
    // In fp16 the first only lowers the scale.
    int64_t skipped = 0;
    if (scaled) {
      expect_skipped(t, bad_batch(1), ++skipped);
      EXPECT_EQ(t.step.state().skipped_in_a_row, 0);
    }
    // Two in a row are one too few.
    for (const bool bad : {false, true, true, false, false, true, true}) {
      t.scaler.set_learning_rate(0.001f);
      skipped += bad ? 1 : 0;
      bad ? expect_skipped(t, bad_batch(2), skipped) : t.step.train(random_batch(3));
    }
    EXPECT_EQ(t.step.state().skipped_in_a_row, 2);
    EXPECT_EQ(t.step.state().diverged_at, 0);
    EXPECT_EQ(t.step.state().accepted_steps, 3);
    expect_skipped(t, bad_batch(4), ++skipped);
    EXPECT_EQ(t.step.state().diverged_at, 3 + skipped);
    // Now nothing changes the weights any more.
    const int64_t at = 3 + skipped;
    expect_skipped(t, random_batch(5), ++skipped);
    expect_skipped(t, random_batch(6), ++skipped);
    EXPECT_EQ(t.step.state().diverged_at, at);
    EXPECT_EQ(steps_since_divergence(t.step.state()), 2);
    t.scaler.restart(0, 0);
    const std::vector<uint32_t> before = bits_of(t);
    t.step.train(random_batch(7));
    EXPECT_TRUE(bits_of(t) != before);
  }
}

}  // namespace
}  // namespace residua::test
