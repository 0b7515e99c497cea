#pragma once

#include "core/kernels/step_state.h"
#include "core/nn/parameter_store.h"

namespace residua {

struct SgdOptions {
  float momentum = 0.9f;
  float weight_decay = 1e-4f;        // on every parameter, gamma, beta and biases too, as in the paper
  float statistics_momentum = 0.1f;  // share of the batch in the running statistics
};

/// Stochastic gradient descent with momentum as PyTorch's torch.optim.SGD (no dampening, no Nesterov):
/// g = gradient / loss_scale + weight_decay * w; v = momentum * v + g; w = w - lr * v.
/// The values that change from step to step are kept on the device, so that a captured step reads the current ones.
class Sgd {
 public:
  /// Fails with UsageError when an option is negative or not finite, or when the store was laid out for inference.
  Sgd(ParameterStore& store, const SgdOptions& options);

  const SgdOptions& options() const { return options_; }
  float learning_rate() const { return state_.learning_rate; }
  float loss_scale() const { return state_.loss_scale; }
  /// Fails when `rate` is negative or not finite.
  void set_learning_rate(float rate);
  /// Says how many times too large the gradients are. Fails unless `scale` is positive and finite.
  void set_loss_scale(float scale);

  /// What `step` does about gradients that are infinite or NaN.
  enum class Overflow : uint8_t { ignore, skip };

  /// Updates all weights and running statistics from the gradients of the last backward(), then forgets these. With
  /// Overflow::skip nothing changes when a gradient is not finite. Fails when a parameter got no gradient.
  void step(Overflow overflow = Overflow::ignore);

  /// Whether the last step was skipped. Waits for the device.
  bool skipped() const;

  /// On the device.
  StepState* device_state() const { return static_cast<StepState*>(device_state_.data()); }

 private:
  void upload();
  void update(const ParameterArena& arena);

  ParameterStore& store_;
  SgdOptions options_;
  StepState state_;  // the host's copy; `found_inf` is known to the device alone
  Tensor device_state_;
};

}  // namespace residua
