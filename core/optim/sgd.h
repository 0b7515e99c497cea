#pragma once

#include "core/config/settings.h"
#include "core/nn/parameter_store.h"
#include "core/optim/grad_scaler.h"

namespace residua {

struct SgdOptions {
  float momentum = 0.9f;
  float weight_decay = 1e-4f;  // on every parameter, gamma, beta and biases too, as in the paper
};

void declare(Settings& settings, SgdOptions& options);

/// Stochastic gradient descent with momentum as PyTorch's torch.optim.SGD (no dampening, no Nesterov):
/// g = gradient / loss_scale + weight_decay * w; v = momentum * v + g; w = w - lr * v.
/// The rate, the scale and whether the step is skipped are the scaler's, on the device.
class Sgd {
 public:
  /// Fails with UsageError when an option is negative or not finite, or when the store was laid out for inference. Both must
  /// outlive the optimizer.
  Sgd(ParameterStore& store, GradScaler& scaler, const SgdOptions& options = {});

  const SgdOptions& options() const { return options_; }

  /// Updates all weights from the gradients of the last backward(), then forgets these. Changes nothing where the scaler found
  /// a gradient that is not finite. Fails when a parameter got no gradient.
  void step();

 private:
  void update(const ParameterArena& arena);

  ParameterStore& store_;
  GradScaler& scaler_;
  SgdOptions options_;
};

}  // namespace residua
