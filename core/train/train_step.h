#pragma once

#include "core/data/loader.h"
#include "core/nn/module.h"
#include "core/nn/parameter_store.h"
#include "core/ops/prepare_input.h"
#include "core/ops/softmax_cross_entropy.h"
#include "core/optim/loss_scaler.h"
#include "core/optim/sgd.h"

namespace residua {

/// One whole step of training: input, forward, loss, backward, update. In fp16 the loss is scaled dynamically, and a step that
/// overflowed changes neither weights nor statistics.
class TrainStep {
 public:
  /// All of these must outlive the step.
  TrainStep(Module& model, ParameterStore& store, Sgd& sgd, InputFormat input, float label_smoothing);

  /// Trains on a batch and returns its loss and error counts.
  SoftmaxCrossEntropy train(const Batch& batch);
  /// The same numbers without training, from the running statistics.
  SoftmaxCrossEntropy evaluate(const Batch& batch);

  LossScaler& loss_scaler() { return loss_scaler_; }
  /// Steps that overflowed and were skipped.
  int64_t skipped_steps() const { return skipped_steps_; }

 private:
  SoftmaxCrossEntropy forward(const Batch& batch, Mode mode);

  Module& model_;
  ParameterStore& store_;
  Sgd& sgd_;
  InputFormat input_;
  float label_smoothing_;
  LossScaler loss_scaler_;
  int64_t skipped_steps_ = 0;
};

}  // namespace residua
