#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <span>

#include "core/data/batch_upload.h"
#include "core/evaluate/evaluation_loader.h"
#include "core/evaluate/metrics.h"
#include "core/nn/module.h"
#include "core/ops/prepare_input.h"

namespace residua {

/// Measures a network on labeled images: loss without label smoothing, top-1 and top-5 error, from batch norm's running
/// statistics. It needs no optimizer, and computes without gradients.
class Evaluator {
 public:
  /// `input` is what the network wants, whose height and width come from the batches; a mean image is scaled for views of
  /// another size. `model` must outlive this and lie on `device`.
  Evaluator(Module& model, InputFormat input, Device device);

  /// By the loader's protocol: each image once, those that cannot be read in every pass not at all. Nothing if `stop`, which is
  /// asked before each batch, became true. Fails with Error when no image could be read.
  std::optional<Metrics> evaluate(EvaluationLoader& loader, const std::function<bool()>& stop);
  Metrics evaluate(EvaluationLoader& loader);

  /// Adds the results of one batch, each of whose rows is a sample, to `metrics`, queued on the device.
  void add(const Batch& batch, MetricsAccumulator& metrics);

 private:
  /// Of samples with several views, whose logits the protocol averages on the host.
  void add_averages(const EvaluationLoader& loader, std::span<const Batch* const> batches, MetricsAccumulator& metrics);
  /// The network's answers [rows, classes], queued on the device, and the labels there.
  struct Answers {
    Tensor logits;
    Tensor labels;
  };
  Answers answers(const Batch& batch, size_t pass);
  InputFormat format_for(const Batch& batch);

  Module& model_;
  InputFormat input_;
  Device device_;
  std::deque<BatchUpload> uploads_;        // one a pass: its batches have one shape
  std::map<int64_t, Tensor> mean_images_;  // of other sizes than the network's, by pixels a side
};

}  // namespace residua
