#pragma once

#include <array>
#include <memory>

#include "core/data/batch_upload.h"
#include "core/data/loader.h"
#include "core/device/device_api.h"
#include "core/evaluate/metrics.h"
#include "core/nn/module.h"
#include "core/nn/parameter_store.h"
#include "core/ops/prepare_input.h"
#include "core/optim/sgd.h"

namespace residua {

/// Whether steps on a device that can capture are replayed as one graph.
enum class Capture : uint8_t { off, on };

struct TrainStepOptions {
  InputFormat input;
  float label_smoothing = 0.0f;
  Capture capture = Capture::on;
};

/// One whole step of training: input, forward, loss, backward, update. It is queued, and nothing waits for its end: results are
/// summed on the device. On a CUDA device the first steps of a shape run kernel by kernel, so that plans are chosen and memory
/// is laid out; then the step is captured, once for each set of input memory, and replayed.
class TrainStep {
 public:
  /// All of these must outlive the step.
  TrainStep(Module& model, ParameterStore& store, Sgd& sgd, TrainStepOptions options);

  /// Trains on a batch. In fp16 the loss is scaled dynamically (give the optimizer LossScaling), and a step that overflowed
  /// changes neither weights nor statistics nor metrics.
  void train(const Batch& batch);
  /// Results of train() since they were last reset.
  MetricsAccumulator& metrics() { return metrics_; }

 private:
  void run_step(const Batch& batch);

  Module& model_;
  Sgd& sgd_;
  TrainStepOptions options_;
  Device device_;
  MetricsAccumulator metrics_;
  BatchUpload train_upload_;
  std::array<std::unique_ptr<device_api::Graph>, 2> graphs_;  // for each slot of train_upload_
};

}  // namespace residua
