#pragma once

#include <functional>
#include <optional>

#include "core/data/batch_upload.h"
#include "core/data/loader.h"
#include "core/evaluate/metrics.h"
#include "core/nn/module.h"
#include "core/ops/prepare_input.h"

namespace residua {

/// Measures a network on labeled images: loss without label smoothing, top-1 and top-5 error, from batch norm's running
/// statistics. It needs no optimizer, and computes without gradients.
class Evaluator {
 public:
  /// `input` is what the network wants, whose height and width come from the batches. `model` must outlive this and lie on
  /// `device`.
  Evaluator(Module& model, InputFormat input, Device device);

  /// Over epoch 0 of the loader: each image once, those that cannot be read not at all. Nothing if `stop`, which is asked
  /// before each batch, became true. Fails with UsageError on a loader that replaces bad images, leaves out a last batch or
  /// makes several views of a sample, and with Error when no image could be read.
  std::optional<Metrics> evaluate(Loader& loader, const std::function<bool()>& stop);
  Metrics evaluate(Loader& loader);

  /// Adds one batch's results to `metrics`, queued on the device.
  void add(const Batch& batch, MetricsAccumulator& metrics);

 private:
  Module& model_;
  InputFormat input_;
  Device device_;
  BatchUpload upload_;
};

}  // namespace residua
