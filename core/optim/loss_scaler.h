#pragma once

#include <cstdint>

namespace residua {

struct LossScalerOptions {
  float initial = 65536.0f;
  float growth = 2.0f;
  float backoff = 0.5f;
  int64_t growth_interval = 2000;  // steps without overflow before the scale grows
};

/// Dynamic loss scaling for fp16 (Micikevicius et al. 2018, section 3.2; the numbers are PyTorch's): the loss is multiplied by
/// a scale so that small gradients do not vanish; the scale is halved by a step that overflowed and doubled after many that did
/// not.
class LossScaler {
 public:
  explicit LossScaler(const LossScalerOptions& options = {});

  float scale() const { return scale_; }
  /// Steps without overflow since the scale last changed.
  int64_t good_steps() const { return good_steps_; }
  /// To be told after each step whether it was skipped. Fails once the scale is so small that scaling cannot be the cause.
  void update(bool skipped);
  /// Goes on from a checkpoint.
  void restore(float scale, int64_t good_steps);

 private:
  LossScalerOptions options_;
  float scale_;
  int64_t good_steps_ = 0;
};

}  // namespace residua
