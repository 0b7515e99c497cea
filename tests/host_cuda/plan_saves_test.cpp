// When a training step and an evaluation end a pass of autotuning.
#include <gtest/gtest.h>

#include <vector>

#include "core/evaluate/evaluator.h"
#include "core/nn/initialization.h"
#include "core/train/train_step.h"
#include "cuda/host/plans.h"
#include "models/resnet.h"

namespace residua::test {
namespace {

constexpr Device kDevice{Device::Type::cuda, 0};
constexpr int64_t kImages = 2, kSize = 8;

Batch some_batch() {
  Batch batch;
  batch.images = zeros({kImages, kSize, kSize, 3}, DType::u8);
  batch.labels = zeros({kImages}, DType::i32);
  batch.views = view_tensor(std::vector<SampleView>(kImages), Device{});
  batch.height = batch.width = kSize;
  return batch;
}

TEST(PlanSaves, EndEachStepThatMayChoosePlans) {
  ResNet model({.stem = Stem::cifar, .blocks = {1, 1, 1}, .width = 4, .shortcut = Shortcut::a, .classes = 10});
  ParameterStore store(model, {.device = kDevice, .compute = DType::f32});
  initialize(store, 0);
  GradScaler scaler(kDevice);
  Sgd sgd(store, scaler);
  const InputFormat input{.channels = model.input_channels(),
                          .dtype = DType::f32,
                          .mean = full({3}, 127.0f, DType::f32, kDevice),
                          .inverse_std = full({3}, 0.02f, DType::f32, kDevice)};
  TrainStep step(model, store, scaler, sgd, {.input = input});
  const Batch batch = some_batch();
  const int64_t before = host_cuda::plan_saves();
  for (int i = 0; i < 5; ++i) {
    step.train(batch);
  }
  EXPECT_EQ(host_cuda::plan_saves() - before, 2) << "the steps that run kernel by kernel; those that are captured choose none";
  MetricsAccumulator metrics(kDevice);
  Evaluator(model, input, kDevice).add(batch, metrics);
  EXPECT_EQ(host_cuda::plan_saves() - before, 3);
}

}  // namespace
}  // namespace residua::test
