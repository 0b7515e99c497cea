#pragma once

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "core/autograd/tape.h"
#include "core/base/enum_text.h"
#include "core/data/batch_upload.h"
#include "core/data/loader.h"
#include "core/device/device_api.h"
#include "core/distributed/communicator.h"
#include "core/evaluate/metrics.h"
#include "core/nn/module.h"
#include "core/nn/parameter_store.h"
#include "core/ops/prepare_input.h"
#include "core/optim/grad_scaler.h"
#include "core/optim/gradient_buckets.h"
#include "core/optim/sgd.h"

namespace residua {

/// Whether to replay steps as one graph on devices that support capture.
enum class Capture : uint8_t { off, on };
template <>
inline constexpr auto kEnumText<Capture> = enum_text<Capture>({{Capture::on, "on"}, {Capture::off, "off"}});

struct TrainStepOptions {
  InputFormat input;
  float label_smoothing = 0.0f;
  int64_t most_images = 0;           // that pass through the network at once; 0: the whole batch
  float statistics_momentum = 0.1f;  // weight of the batch in the running statistics
  Capture capture = Capture::on;
  Communicator* ranks = nullptr;                 // that share each batch; null: this process alone
  int64_t most_bucket_bytes = int64_t{8} << 20;  // of gradients that the ranks sum together
};

/// Splits a batch of `images` into passes of at most `most` images (0: any number). They are of equal size, but the last may be
/// smaller. Returns the size of the others.
int64_t pass_size(int64_t images, int64_t most);

/// One training step: input, forward, loss, backward, update. It only queues work; results are summed on the device, and
/// nothing waits. On a CUDA device the first steps of a shape run kernel by kernel, to choose plans and allocate memory. Then
/// the step is captured once for each set of input memory, and replayed.
///
/// A batch that is larger than `most_images` passes through the network in parts. Their gradients add up to those of the mean
/// loss over the whole batch; the running statistics take in the mean of the parts' statistics.
///
/// Several ranks each train on their part of a batch, and sum their gradients before the update: all have the same weights.
/// Each normalizes its own part, and the running statistics take in the mean over the ranks.
///
/// A step whose loss, gradients or batch statistics have a value that is not finite is skipped: it changes no weight, momentum,
/// running statistic or metric. GradScaler counts it.
class TrainStep {
 public:
  /// All references must outlive the step.
  TrainStep(Module& model, ParameterStore& store, GradScaler& scaler, Sgd& sgd, TrainStepOptions options);

  /// Queues a step on a batch. fp16 needs a scaler with LossScaling.
  void train(const Batch& batch);
  /// The scaler's state after all steps so far. Also updates `batches_tracked` of the store. Waits for the device.
  StepState state();
  /// Results of train() since the last reset.
  MetricsAccumulator& metrics() { return metrics_; }

 private:
  void run_step(const Batch& batch);
  struct Pass {
    Batch part;
    SoftmaxCrossEntropy result;
  };
  /// Sums the gradients, the statistics and the losses of all ranks. Returns the sum of the losses.
  Tensor exchange(const std::vector<Pass>& passes);
  /// Forward and backward of the batch or of a part of it, whose loss counts with `share`.
  SoftmaxCrossEntropy run_pass(const Batch& batch, float share, const LeafComplete& complete);

  Module& model_;
  ParameterStore& store_;
  GradScaler& scaler_;
  Sgd& sgd_;
  TrainStepOptions options_;
  Device device_;
  std::optional<GradientBuckets> buckets_;  // of several ranks
  MetricsAccumulator metrics_;
  BatchUpload train_upload_;
  std::array<std::unique_ptr<device_api::Graph>, 2> graphs_;  // one for each slot of train_upload_
};

}  // namespace residua
