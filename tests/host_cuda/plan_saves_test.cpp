// When a training step ends a pass of autotuning.
#include <gtest/gtest.h>

#include "core/nn/initialization.h"
#include "core/train/train_step.h"
#include "models/catalog.h"
#include "cuda/host/plans.h"

namespace residua {
namespace {

constexpr Device kDevice{Device::Type::cuda, 0};
constexpr int64_t kImages = 2, kSize = 8;

Batch some_batch() {
  Batch batch;
  batch.images = zeros({kImages, kSize, kSize, 3}, DType::u8);
  batch.labels = zeros({kImages}, DType::i32);
  batch.top = zeros({kImages}, DType::i32);
  batch.left = zeros({kImages}, DType::i32);
  batch.flip = zeros({kImages}, DType::u8);
  batch.color_shift = zeros({kImages, 3}, DType::f32);
  batch.height = batch.width = kSize;
  return batch;
}

TEST(PlanSaves, EndEachStepThatMayChoosePlans) {
  ResNetSpec spec = model_spec("resnet20");
  spec.blocks = {1, 1, 1};
  spec.width = 4;
  ResNet model(spec);
  ParameterStore store(model, {.device = kDevice, .compute = DType::f32});
  initialize(store, 0);
  Sgd sgd(store, {});
  const InputFormat input{.channels = model.input_channels(),
                          .dtype = DType::f32,
                          .mean = full({3}, 127.0f, DType::f32, kDevice),
                          .inverse_std = full({3}, 0.02f, DType::f32, kDevice)};
  TrainStep step(model, store, sgd, {.input = input});
  const Batch batch = some_batch();
  const int64_t before = host_cuda::plan_saves();
  for (int i = 0; i < 5; ++i) {
    step.train(batch);
  }
  EXPECT_EQ(host_cuda::plan_saves() - before, 2) << "the steps that run kernel by kernel; those that are captured choose none";
  MetricsAccumulator metrics(kDevice);
  step.evaluate(batch, metrics);
  EXPECT_EQ(host_cuda::plan_saves() - before, 3);
}

}  // namespace
}  // namespace residua
