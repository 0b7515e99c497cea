#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <span>

#include "core/data/batch_upload.h"
#include "core/distributed/communicator.h"
#include "core/evaluate/evaluation_loader.h"
#include "core/evaluate/evaluation_observer.h"
#include "core/evaluate/metrics.h"
#include "core/nn/module.h"
#include "core/ops/prepare_input.h"

namespace residua {

/// Evaluates a network on labeled images in evaluation mode: loss without label smoothing, top-1 and top-5 error. Computes no
/// gradients and needs no optimizer.
class Evaluator {
 public:
  /// `input` is the network's input format; height and width come from the batches. Views of another size than a mean image's
  /// subtract its mean per channel. `model` must outlive this and be on `device`. With `ranks`, each evaluates its part.
  Evaluator(Module& model, InputFormat input, Device device, Communicator* ranks = nullptr);

  /// Evaluates each image once, by the loader's protocol; ignores an image that a pass cannot read. Calls `stop` before each
  /// batch and returns nothing once it is true. Fails with Error if no image could be read.
  /// Tells the observers of each batch, which costs a wait for the device.
  ///
  /// Of several ranks, each has a loader of its part (core/data/rank_images.h), or null if it has none. All get the metrics of
  /// the whole set, or nothing if one of them stops.
  using Observers = std::span<EvaluationObserver* const>;
  std::optional<Metrics> evaluate(EvaluationLoader* loader, const std::function<bool()>& stop, Observers observers = {});
  Metrics evaluate(EvaluationLoader& loader, Observers observers = {});

  /// Queues the evaluation of one batch with one row per sample, and adds its results to `metrics`.
  void add(const Batch& batch, MetricsAccumulator& metrics);

 private:
  /// Adds up this rank's images. Returns false if `stop` was true.
  bool evaluate_part(EvaluationLoader& loader, const std::function<bool()>& stop, Observers observers, MetricsAccumulator& sum);
  /// The same with scores that the host averages over a sample's views.
  void add_averages(const EvaluationLoader& loader, std::span<const Batch* const> batches, MetricsAccumulator& metrics,
                    Observers observers);
  /// The network's input, its logits [rows, classes], queued on the device, and the labels there.
  struct Answers {
    Tensor x;
    Tensor logits;
    Tensor labels;
  };
  Answers answers(const Batch& batch, size_t pass);
  InputFormat format_for(const Batch& batch) const;

  Module& model_;
  InputFormat input_;
  Device device_;
  Communicator* ranks_;
  Tensor channel_mean_;              // of the mean image, if there is one
  std::deque<BatchUpload> uploads_;  // one per pass, because a pass has batches of one shape
};

}  // namespace residua
