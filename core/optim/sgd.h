#pragma once

#include <cstdint>
#include <vector>

#include "core/config/settings.h"
#include "core/nn/parameter_store.h"
#include "core/optim/grad_scaler.h"

namespace residua {

struct SgdOptions {
  float momentum = 0.9f;
  float weight_decay = 1e-4f;  // L2, on all parameters including gamma, beta and biases, as in the paper
  bool no_bn_decay = false;    // leaves out gamma and beta, as in Goyal et al. 2017, section 5.1
};

void declare(Settings& settings, SgdOptions& options);

/// Stochastic gradient descent with momentum, as torch.optim.SGD without dampening or Nesterov:
///   g = gradient / loss_scale + weight_decay * w; v = momentum * v + g; w = w - lr * v.
/// The learning rate, the loss scale and the decision to skip the step come from the scaler's device state.
class Sgd {
 public:
  /// Store and scaler must outlive the optimizer. Fails with UsageError if an option is negative or not finite, or if the store
  /// was laid out for inference.
  Sgd(ParameterStore& store, GradScaler& scaler, const SgdOptions& options = {});

  const SgdOptions& options() const { return options_; }

  /// Updates all parameters that are not frozen from the gradients of the last backward(), then clears the gradients. If the
  /// scaler found a gradient that is not finite, the parameters stay unchanged. Fails if a parameter has no gradient.
  void step();

 private:
  /// Parameters of an arena, one after the other, with the same weight decay.
  struct Range {
    int64_t first, size;  // elements
    float weight_decay;
  };
  std::vector<Range> ranges_of(const ParameterArena& arena, ParameterRole role) const;
  void update(const ParameterArena& arena, const Range& range);

  ParameterStore& store_;
  GradScaler& scaler_;
  SgdOptions options_;
};

}  // namespace residua
