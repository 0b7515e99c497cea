#pragma once

#include <optional>

#include "core/kernels/step_state.h"
#include "core/nn/parameter_store.h"

namespace residua {

/// Dynamic loss scaling for fp16 (Micikevicius et al. 2018, section 3.2; the numbers are PyTorch's): the loss is multiplied by
/// a scale so that small gradients do not vanish; the scale is halved by a step that overflowed and doubled after many that did
/// not.
struct LossScaling {
  float initial = 65536.0f;
  float growth = 2.0f;
  float backoff = 0.5f;
  int32_t growth_interval = 2000;  // steps without overflow before the scale grows
};

struct SgdOptions {
  float momentum = 0.9f;
  float weight_decay = 1e-4f;        // on every parameter, gamma, beta and biases too, as in the paper
  float statistics_momentum = 0.1f;  // share of the batch in the running statistics
  std::optional<LossScaling> loss_scaling = {};
};

/// Stochastic gradient descent with momentum as PyTorch's torch.optim.SGD (no dampening, no Nesterov):
/// g = gradient / loss_scale + weight_decay * w; v = momentum * v + g; w = w - lr * v.
/// The values that change from step to step are kept on the device, so that a captured step reads the current ones and none
/// waits for the device.
class Sgd {
 public:
  /// Fails with UsageError when an option is negative or not finite, or when the store was laid out for inference.
  Sgd(ParameterStore& store, const SgdOptions& options);

  const SgdOptions& options() const { return options_; }
  float learning_rate() const { return learning_rate_; }
  /// Fails when `rate` is negative or not finite.
  void set_learning_rate(float rate);

  /// How many times too large the gradients are to be: a scalar on the device, to start backward() from.
  Tensor loss_scale() const { return loss_scale_; }
  /// Goes on with a scale and a number of accepted steps since it changed, as from a checkpoint. Fails unless the scale is
  /// positive and finite and the count not negative.
  void set_loss_scale(float scale, int64_t good_steps = 0);

  /// Updates all weights and running statistics from the gradients of the last backward(), then forgets these. With loss
  /// scaling a step whose gradients are not all finite changes nothing but the scale. Fails when a parameter got no gradient.
  void step();

  /// The state after all steps so far; brings `batches_tracked` of the store up to date. Waits for the device. Fails once the
  /// loss scale is so small that scaling cannot be the cause of overflows.
  StepState state();

  /// On the device.
  StepState* device_state() const { return static_cast<StepState*>(device_state_.data()); }

 private:
  void write(const StepState& state);
  void update(const ParameterArena& arena);

  ParameterStore& store_;
  SgdOptions options_;
  float learning_rate_ = 0.0f;
  Tensor device_state_;
  Tensor loss_scale_;            // a view into it
  int64_t counted_batches_ = 0;  // accepted steps that `batches_tracked` has
};

}  // namespace residua
