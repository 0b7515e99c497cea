#pragma once

#include <array>
#include <memory>

#include "core/base/enum_text.h"
#include "core/data/batch_upload.h"
#include "core/data/loader.h"
#include "core/device/device_api.h"
#include "core/evaluate/metrics.h"
#include "core/nn/module.h"
#include "core/nn/parameter_store.h"
#include "core/ops/prepare_input.h"
#include "core/optim/grad_scaler.h"
#include "core/optim/sgd.h"

namespace residua {

/// Whether steps on a device that can capture are replayed as one graph.
enum class Capture : uint8_t { off, on };
template <>
inline constexpr auto kEnumText<Capture> = enum_text<Capture>({{Capture::on, "on"}, {Capture::off, "off"}});

struct TrainStepOptions {
  InputFormat input;
  float label_smoothing = 0.0f;
  float statistics_momentum = 0.1f;  // share of the batch in the running statistics
  Capture capture = Capture::on;
};

/// One whole step of training: input, forward, loss, backward, update. It is queued, and nothing waits for its end: results are
/// summed on the device. On a CUDA device the first steps of a shape run kernel by kernel, so that plans are chosen and memory
/// is laid out; then the step is captured, once for each set of input memory, and replayed.
class TrainStep {
 public:
  /// All of these must outlive the step.
  TrainStep(Module& model, ParameterStore& store, GradScaler& scaler, Sgd& sgd, TrainStepOptions options);

  /// Trains on a batch. In fp16 the loss is scaled dynamically (give the scaler LossScaling), and a step that overflowed
  /// changes neither weights nor statistics nor metrics.
  void train(const Batch& batch);
  /// The scaler's state after all steps so far; brings `batches_tracked` of the store up to date. Waits for the device.
  StepState state();
  /// Results of train() since they were last reset.
  MetricsAccumulator& metrics() { return metrics_; }

 private:
  void run_step(const Batch& batch);

  Module& model_;
  ParameterStore& store_;
  GradScaler& scaler_;
  Sgd& sgd_;
  TrainStepOptions options_;
  Device device_;
  MetricsAccumulator metrics_;
  BatchUpload train_upload_;
  std::array<std::unique_ptr<device_api::Graph>, 2> graphs_;  // for each slot of train_upload_
};

}  // namespace residua
