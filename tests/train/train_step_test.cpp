#include "core/train/train_step.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "tests/support/compare.h"
#include "tests/train/small_step.h"
#ifdef RESIDUA_HOST_CUDA
#include "cuda/host/queue.h"
#endif

namespace residua::test {
namespace {

class TrainStepTest : public ::testing::TestWithParam<Setup> {
 protected:
  static std::optional<LossScaling> scaling() {
    return GetParam().precision == DType::f16 ? std::optional(LossScaling{.initial = 1024, .growth_interval = 3})
                                              : std::nullopt;
  }
};

INSTANTIATE_TEST_SUITE_P(All, TrainStepTest, ::testing::ValuesIn(setups()), [](const auto& info) {
  return fmt::format("{}_{}", info.param.device.type == Device::Type::cpu ? "cpu" : "cuda", name(info.param.precision));
});

/// Steps with a learning rate of their own each; the fourth overflows where gradients are scaled.
void train(SmallTraining& t, int steps) {
  for (int i = 0; i < steps; ++i) {
    t.scaler.set_learning_rate(0.05f / static_cast<float>(i + 1));
    if (i == 3 && t.scaler.scaling()) {
      t.scaler.set_loss_scale(0x1p24f);
    }
    t.step.train(random_batch(static_cast<uint64_t>(i)));
    if (i == 3 && t.scaler.scaling()) {
      t.scaler.set_loss_scale(512);
    }
  }
}

TEST_P(TrainStepTest, CapturedStepsDoWhatTheOthersDo) {
  const auto [device, precision] = GetParam();
  SmallTraining plain(device, precision, Capture::off, scaling());
  SmallTraining captured(device, precision, Capture::on, scaling());
  train(plain, 8);
  train(captured, 8);
  EXPECT_EQ(captured.weights(), plain.weights());
  EXPECT_EQ(captured.statistics(), plain.statistics());
  const Metrics a = plain.step.metrics().read();
  const Metrics b = captured.step.metrics().read();
  EXPECT_EQ(a.images, b.images);
  EXPECT_EQ(a.loss, b.loss);
  EXPECT_EQ(plain.step.state().loss_scale, captured.step.state().loss_scale);
  const int64_t skipped = scaling() ? 1 : 0;
  EXPECT_EQ(captured.step.state().skipped_steps, skipped);
  EXPECT_EQ(captured.step.state().accepted_steps, 8 - skipped);
  EXPECT_EQ(captured.store.batches_tracked, 8 - skipped);
  EXPECT_EQ(a.images, (8 - skipped) * (kBatch - 1)) << "neither skipped steps nor images without a label count";
}

/// How far apart the weights of two trainings are, by how far the second has come from where both began.
double distance_over_update(SmallTraining& got, SmallTraining& wanted, const std::vector<float>& before) {
  const std::vector<float> ours = got.weights();
  const std::vector<float> theirs = wanted.weights();
  double distance = 0.0;
  double update = 0.0;
  for (size_t i = 0; i < before.size(); ++i) {
    distance += std::pow(static_cast<double>(ours[i]) - static_cast<double>(theirs[i]), 2);  // NaN stays
    update += std::pow(static_cast<double>(theirs[i]) - static_cast<double>(before[i]), 2);
  }
  return std::sqrt(distance / update);
}

TEST_P(TrainStepTest, AgreesWithTheCpuDevice) {
  const auto [device, precision] = GetParam();
  if (device.type == Device::Type::cpu) {
    return;  // what the others are compared with
  }
  constexpr int64_t kBlocksOfResNet20 = 3;
  SmallTraining host({}, precision, Capture::off, scaling(), kBlocksOfResNet20);
  SmallTraining training(device, precision, Capture::off, scaling(), kBlocksOfResNet20);
  const std::vector<float> before = host.weights();
  train(host, 1);
  train(training, 1);
  // In 16 bits a rounding that falls the other way makes a ReLU's sign flip somewhere in twenty layers, and in so small a batch
  // one flip is a twentieth of a gradient.
  // A GPU adds fp32 up in an order of its own; the host CUDA device has the CPU device's convolutions.
#ifdef RESIDUA_HOST_CUDA
  constexpr double kUpdate = 1e-4, kUpdate16 = 0.02, kLoss = 1e-6;
#else
  constexpr double kUpdate = 5e-3, kUpdate16 = 0.25, kLoss = 2e-5;
#endif
  EXPECT_LT(distance_over_update(training, host, before), precision == DType::f32 ? kUpdate : kUpdate16);
  const Metrics a = host.step.metrics().read();
  const Metrics b = training.step.metrics().read();
  EXPECT_EQ(a.images, b.images);
  EXPECT_NEAR(a.loss, b.loss, (precision == DType::f32 ? kLoss : 5e-3) * a.loss);
  EXPECT_EQ(training.step.state().skipped_steps, 0);
  EXPECT_EQ(host.step.state().skipped_steps, 0);
  if (!scaling()) {
    return;
  }
  // A step that overflows does the same to both: nothing; and the one after it counts.
  for (SmallTraining* t : {&host, &training}) {
    const std::vector<float> weights = t->weights();
    const std::vector<float> statistics = t->statistics();
    t->scaler.set_loss_scale(0x1p24f);
    t->step.train(random_batch(1));
    EXPECT_TRUE(t->weights() == weights);
    EXPECT_TRUE(t->statistics() == statistics);
    EXPECT_EQ(t->step.state().skipped_steps, 1);
    EXPECT_EQ(t->step.state().loss_scale, 0x1p23f);
    t->scaler.set_loss_scale(1024);
    t->step.train(random_batch(2));
    EXPECT_EQ(t->step.state().accepted_steps, 2);
  }
  EXPECT_LT(distance_over_update(training, host, before), 0.25);
}

TEST_P(TrainStepTest, AnOverflowLeavesNoTrace) {
  const auto [device, precision] = GetParam();
  if (!scaling()) {
    return;  // gradients of these types are not scaled
  }
  SmallTraining t(device, precision, Capture::on, scaling());
  train(t, 3);
  for (int i = 0; i < 2; ++i) {  // one in each of the two graphs
    const std::vector<float> weights = t.weights();
    const std::vector<float> velocity = t.store.matrices().velocity.to_vector();
    const std::vector<float> copy = t.store.matrices().copy.to_vector();
    const std::vector<float> statistics = t.statistics();
    const Metrics metrics = t.step.metrics().read();
    t.scaler.set_loss_scale(0x1p24f);
    t.step.train(random_batch(50));
    EXPECT_EQ(t.step.state().skipped_steps, i + 1);
    EXPECT_EQ(t.step.state().loss_scale, 0x1p23f);
    EXPECT_EQ(t.weights(), weights);
    EXPECT_EQ(t.store.matrices().velocity.to_vector(), velocity);
    EXPECT_EQ(t.store.matrices().copy.to_vector(), copy);
    EXPECT_EQ(t.statistics(), statistics);
    EXPECT_EQ(t.step.metrics().read().images, metrics.images);
    EXPECT_EQ(t.step.metrics().read().loss, metrics.loss);
  }
  t.scaler.set_loss_scale(1024);
  const std::vector<float> weights = t.weights();
  t.step.train(random_batch(51));
  EXPECT_NE(t.weights(), weights) << "the step after an overflow counts again";
}

TEST_P(TrainStepTest, BatchesOfAnotherSizeAndEvaluationComeBetween) {
  const auto [device, precision] = GetParam();
  SmallTraining plain(device, precision, Capture::off);
  SmallTraining captured(device, precision, Capture::on);
  std::vector<Metrics> results;
  for (SmallTraining* t : {&plain, &captured}) {
    MetricsAccumulator sum(device);
    for (int i = 0; i < 12; ++i) {
      t->scaler.set_learning_rate(0.02f);
      t->step.train(random_batch(static_cast<uint64_t>(i), i == 5 ? 4 : kBatch));
      if (i % 4 == 3) {
        t->evaluator.add(random_batch(100 + static_cast<uint64_t>(i), i == 7 ? 3 : kBatch), sum);
      }
    }
    results.push_back(sum.read());
  }
  EXPECT_EQ(captured.weights(), plain.weights());
  EXPECT_EQ(results[0].loss, results[1].loss);
  EXPECT_EQ(results[0].images, 5 + 2 + 5);
  EXPECT_EQ(results[1].images, 5 + 2 + 5);
}

TEST_P(TrainStepTest, ShiftsTheColorsOfItsInput) {
  const auto [device, precision] = GetParam();
  SmallTraining t(device, precision, Capture::off);
  const auto loss = [&, device = device](float pixel, float shift) {
    Batch batch = random_batch(0);
    batch.images = full(batch.images.shape(), pixel, DType::u8);
    for (SampleView& view : views_in(batch.views)) {
      std::ranges::fill(view.color_shift, shift);
    }
    MetricsAccumulator sum(device);
    t.evaluator.add(batch, sum);
    return sum.read().loss;
  };
  EXPECT_EQ(loss(90, 10), loss(100, 0));
  EXPECT_NE(loss(90, 10), loss(90, 0));
}

#ifdef RESIDUA_HOST_CUDA
/// On a GPU work begins at an unknown time after it is queued. If it all begins as late as it may, the results are the same.
TEST_P(TrainStepTest, NothingDependsOnWhenQueuedWorkBegins) {
  const auto [device, precision] = GetParam();
  std::set<std::vector<float>> weights;
  for (const auto laziness : {host_cuda::Laziness::eager, host_cuda::Laziness::lazy}) {
    host_cuda::set_laziness(laziness);
    SmallTraining t(device, precision, Capture::on);
    Batch shared = random_batch(0);
    const device_api::Pinned pinned(device, shared.images.data(), shared.images.bytes());
    for (int i = 0; i < 6; ++i) {
      // The loader uses a batch's memory again as soon as it has been handed over.
      const Batch next = random_batch(static_cast<uint64_t>(i));
      shared.images.copy_from(next.images);
      shared.labels.copy_from(next.labels);
      shared.views.copy_from(next.views);
      t.scaler.set_learning_rate(0.01f * static_cast<float>(i));
      t.step.train(shared);
    }
    weights.insert(t.weights());
    host_cuda::set_laziness(host_cuda::Laziness::eager);
  }
  EXPECT_EQ(weights.size(), 1);
}
#endif

TEST_P(TrainStepTest, TheShareOfABatchInTheStatisticsIsAnOption) {
  const auto [device, precision] = GetParam();
  SmallTraining t(device, precision, Capture::off, scaling());
  TrainStep frozen(t.model, t.store, t.scaler, t.sgd, {.input = t.input, .statistics_momentum = 0.0f});
  const std::vector<float> before = t.statistics();
  frozen.train(random_batch(1));
  EXPECT_EQ(t.statistics(), before);
  TrainStep usual(t.model, t.store, t.scaler, t.sgd, {.input = t.input});
  usual.train(random_batch(1));
  EXPECT_NE(t.statistics(), before);
}

TEST(PassSize, SplitsABatchIntoPartsOfNearlyEqualSize) {
  EXPECT_EQ(pass_size(256, 0), 256);
  EXPECT_EQ(pass_size(256, 256), 256);
  EXPECT_EQ(pass_size(256, 32), 32);
  EXPECT_EQ(pass_size(65, 64), 33);
  EXPECT_EQ(pass_size(10, 4), 4);
  EXPECT_EQ(pass_size(3, 32), 3);
  EXPECT_EQ(pass_size(0, 32), 0);
}

/// All of its images are labeled.
Batch labeled_batch(uint64_t seed) {
  Batch batch = random_batch(seed);
  batch.labels.span<int32_t>()[1] = 2;
  return batch;
}

// The strongest test of both: neither the data nor the mathematics differ, only what is computed together.
TEST_P(TrainStepTest, PassesOfABatchDoWhatItsGroupsDo) {
  const auto [device, precision] = GetParam();
  const auto constant = scaling() ? std::optional(LossScaling{.initial = 256, .growth_interval = 1000}) : std::nullopt;
  SmallTraining groups(device, precision, Capture::off, constant);
  groups.store.set_group_images(kBatch / 2);
  SmallTraining passes(device, precision, Capture::off, constant, 1, kBatch / 2);
  const std::vector<float> before = groups.weights();
  for (SmallTraining* t : {&groups, &passes}) {
    for (uint64_t i = 0; i < 20; ++i) {
      t->scaler.set_learning_rate(0.01f);
      t->step.train(labeled_batch(i));
    }
    EXPECT_EQ(t->step.state().skipped_steps, 0);
    EXPECT_EQ(t->step.state().accepted_steps, 20);
    EXPECT_EQ(t->store.batches_tracked, 20);
  }
  EXPECT_LT(distance_over_update(passes, groups, before), precision == DType::f32 ? 1e-3 : 0.2);
  const double tolerance = precision == DType::f32 ? 1e-3 : 0.05;
  for (const Tensor StatisticsArena::*member : {&StatisticsArena::running_mean, &StatisticsArena::running_variance}) {
    const std::vector<float> want = (groups.store.statistics_arena().*member).to_vector();
    EXPECT_TRUE(close(passes.store.statistics_arena().*member, std::vector<double>(want.begin(), want.end()), tolerance));
  }
  const Metrics a = groups.step.metrics().read();
  const Metrics b = passes.step.metrics().read();
  EXPECT_EQ(a.images, 20 * kBatch);
  EXPECT_EQ(b.images, 20 * kBatch);
  EXPECT_NEAR(b.loss, a.loss, tolerance * a.loss);
}

TEST_P(TrainStepTest, CapturedPassesDoWhatTheOthersDo) {
  const auto [device, precision] = GetParam();
  for (const int64_t most : {kBatch / 3, kBatch - 1, kBatch - 2}) {  // in passes of 2, 3 and 3 images
    SmallTraining plain(device, precision, Capture::off, scaling(), 1, most);
    SmallTraining captured(device, precision, Capture::on, scaling(), 1, most);
    for (SmallTraining* t : {&plain, &captured}) {
      t->store.set_group_images(2);  // the last one of three images has one
      train(*t, 6);
    }
    EXPECT_EQ(captured.weights(), plain.weights());
    EXPECT_EQ(captured.statistics(), plain.statistics());
    EXPECT_EQ(captured.step.metrics().read().loss, plain.step.metrics().read().loss);
  }
}

// The passes of 3 and 2 images have Bessel corrections of their own, which a graph cannot write.
TEST_P(TrainStepTest, PassesOfDifferentSizesAreNotReplayed) {
  const auto [device, precision] = GetParam();
  SmallTraining plain(device, precision, Capture::off, {}, 1, 3);
  SmallTraining captured(device, precision, Capture::on, {}, 1, 3);
  for (SmallTraining* t : {&plain, &captured}) {
    for (uint64_t i = 0; i < 5; ++i) {
      t->scaler.set_learning_rate(0.01f);
      t->step.train(random_batch(i, 5));
    }
  }
  EXPECT_EQ(captured.weights(), plain.weights());
  EXPECT_EQ(captured.statistics(), plain.statistics());
}

TEST_P(TrainStepTest, ThreeTrainingsGiveTheSameBits) {
  const auto [device, precision] = GetParam();
  std::set<std::vector<float>> weights;
  for (int i = 0; i < 3; ++i) {
    SmallTraining t(device, precision, Capture::on, scaling());
    train(t, 6);
    weights.insert(t.weights());
    for (const float value : t.weights()) {
      ASSERT_TRUE(std::isfinite(value));
    }
  }
  EXPECT_EQ(weights.size(), 1);
}

TEST_P(TrainStepTest, AnOverflowInOnePassLeavesNoTrace) {
  const auto [device, precision] = GetParam();
  if (!scaling()) {
    return;  // gradients of these types are not scaled
  }
  SmallTraining t(device, precision, Capture::on, scaling(), 1, kBatch / 2);
  train(t, 3);
  const std::vector<float> weights = t.weights();
  const std::vector<float> statistics = t.statistics();
  const Metrics metrics = t.step.metrics().read();
  t.scaler.set_loss_scale(0x1p24f);
  t.step.train(random_batch(50));
  EXPECT_EQ(t.step.state().skipped_steps, 1);
  EXPECT_EQ(t.weights(), weights);
  EXPECT_EQ(t.statistics(), statistics);
  EXPECT_EQ(t.step.metrics().read().images, metrics.images);
  t.scaler.set_loss_scale(1024);
  t.step.train(random_batch(51));
  EXPECT_NE(t.weights(), weights);
  for (const float value : t.statistics()) {
    ASSERT_TRUE(std::isfinite(value));
  }
}

}  // namespace
}  // namespace residua::test
