#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <vector>

#include "core/evaluate/evaluator.h"
#include "core/nn/initialization.h"
#include "core/train/train_step.h"
#include "models/resnet.h"
#include "tests/support/op_case.h"

namespace residua::test {

inline constexpr int64_t kBatch = 6;
inline constexpr int64_t kSize = 12;
inline constexpr int64_t kClasses = 7;

/// Images and labels that depend on `seed` alone; label -1 on one of them.
inline Batch random_batch(uint64_t seed, int64_t size = kBatch) {
  std::mt19937_64 random(seed);
  Batch batch;
  batch.images = empty({size, kSize, kSize, 3}, DType::u8);
  for (uint8_t& pixel : batch.images.span<uint8_t>()) {
    pixel = static_cast<uint8_t>(random());
  }
  batch.labels = empty({size}, DType::i32);
  for (int32_t& label : batch.labels.span<int32_t>()) {
    label = static_cast<int32_t>(random() % kClasses);
  }
  batch.labels.span<int32_t>()[1] = -1;
  std::vector<SampleView> views(static_cast<size_t>(size), {.top = 0, .left = 1, .flip = 0, .color_shift = {2.5f, 2.5f, 2.5f}});
  views[0].flip = 1;
  batch.views = view_tensor(views);
  batch.height = batch.width = kSize;
  return batch;
}

/// A ResNet with few channels, and its training.
struct SmallTraining {
  SmallTraining(Device device, DType precision, Capture capture, std::optional<LossScaling> scaling = {},
                int64_t blocks_per_stage = 1, int64_t most_images = 0, int64_t most_skipped = 0)
      : model([&] {
          ResNetConfig spec = named_resnet("resnet20");
          spec.blocks = {blocks_per_stage, blocks_per_stage, blocks_per_stage};
          spec.width = 4;
          spec.classes = kClasses;
          spec.stored_in_channels = stored_input_channels(precision);
          return spec;
        }()),
        store(model, {.device = device, .compute = precision}),
        scaler(device, scaling, most_skipped),
        sgd(store, scaler),
        input({.channels = model.input_channels(),
               .dtype = precision,
               .mean = full({3}, 127.0f, DType::f32, device),
               .inverse_std = full({3}, 0.02f, DType::f32, device)}),
        step(model, store, scaler, sgd,
             {.input = input, .label_smoothing = 0.1f, .most_images = most_images, .capture = capture}),
        evaluator(model, input, device) {
    initialize(store, 5);
  }

  std::vector<float> weights() { return store.matrices().master.to_vector(); }
  std::vector<float> statistics() { return store.statistics_arena().running_variance.to_vector(); }

  ResNet model;
  ParameterStore store;
  GradScaler scaler;
  Sgd sgd;
  InputFormat input;
  TrainStep step;
  Evaluator evaluator;
};

struct Setup {
  Device device;
  DType precision;
};

/// Every device and precision.
inline std::vector<Setup> setups() {
  std::vector<Setup> all;
  for (const Device device : test_devices()) {
    for (const DType precision : {DType::f32, DType::bf16, DType::f16}) {
      all.push_back({device, precision});
    }
  }
  return all;
}

}  // namespace residua::test
