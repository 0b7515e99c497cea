#include "core/optim/loss_scaler.h"

#include <algorithm>
#include <cmath>

#include "core/tensor/error.h"

namespace residua {
namespace {

/// The gradient of a loss of order 1 cannot overflow at this scale unless the network itself is broken.
constexpr float kSmallest = 0x1p-14f;
constexpr float kLargest = 0x1p24f;

}  // namespace

LossScaler::LossScaler(const LossScalerOptions& options) : options_(options), scale_(options.initial) {
  if (!(options.initial > 0 && std::isfinite(options.initial) && options.growth >= 1 && std::isfinite(options.growth) &&
        options.backoff > 0 && options.backoff < 1 && options.growth_interval > 0)) {
    fail_usage(
        "loss scaler: got initial {}, growth {}, backoff {}, interval {}; wanted initial > 0, growth >= 1, 0 < backoff < 1, "
        "interval > 0",
        options.initial, options.growth, options.backoff, options.growth_interval);
  }
}

void LossScaler::update(bool skipped) {
  if (skipped) {
    scale_ *= options_.backoff;
    good_steps_ = 0;
    if (scale_ < kSmallest) {
      fail(
          "gradients are not finite even at a loss scale of {}: the training has diverged; lower the learning rate or use bf16",
          scale_);
    }
  } else if (++good_steps_ == options_.growth_interval) {
    scale_ = std::min(scale_ * options_.growth, kLargest);
    good_steps_ = 0;
  }
}

void LossScaler::restore(float scale, int64_t good_steps) {
  if (!(scale > 0 && std::isfinite(scale) && good_steps >= 0)) {
    fail("loss scaler: a checkpoint holds scale {} and {} good steps; wanted a positive scale and a count", scale, good_steps);
  }
  scale_ = scale;
  good_steps_ = good_steps;
}

}  // namespace residua
