#pragma once

#include <cstdint>
#include <optional>

#include "core/kernels/step_state.h"
#include "core/nn/parameter_store.h"

namespace residua {

/// Dynamic loss scaling for fp16 (Micikevicius et al. 2018, section 3.2), with the defaults of PyTorch's GradScaler. The loss
/// is multiplied by a scale so that small gradients do not underflow. A step that overflows halves the scale; many steps
/// without overflow double it.
struct LossScaling {
  float initial = 65536.0f;
  float growth = 2.0f;
  float backoff = 0.5f;
  int32_t growth_interval = 2000;  // steps without overflow before the scale grows
};

/// The steps after the one at which training diverged; 0 if it has not.
inline int64_t steps_since_divergence(const StepState& state) {
  return state.diverged_at == 0 ? 0 : state.accepted_steps + state.skipped_steps - state.diverged_at;
}

/// Owns the values that change from step to step (StepState). They live on the device, so that a captured step reads the
/// current ones and no step waits. Without LossScaling the scale is 1.
///
/// A step with a value that is not finite is skipped: it changes nothing but counts. If `most_skipped` steps in a row are
/// skipped, training has diverged, and all later steps are skipped too. Steps that only lower the loss scale do not count.
///
/// Order within a step: backward() from loss_scale(); check() of the loss, check_gradients(); everything that reads state(),
/// such as Sgd::step(), the update of batch-norm statistics and metrics; finish_step().
class GradScaler {
 public:
  /// `most_skipped` 0: no limit. Fails with UsageError unless initial > 0, growth >= 1, 0 < backoff < 1 and
  /// growth_interval > 0.
  explicit GradScaler(Device device, const std::optional<LossScaling>& scaling = {}, int64_t most_skipped = 0);
  GradScaler(const GradScaler&) = delete;
  GradScaler& operator=(const GradScaler&) = delete;

  const std::optional<LossScaling>& scaling() const { return scaling_; }

  /// The loss scale, as a device scalar to pass to backward().
  Tensor loss_scale() const { return loss_scale_; }
  /// The loss scale times `share`, for a part of a batch: the gradients of all parts add up to those of the mean loss.
  Tensor loss_scale(float share) const;
  /// Sets the scale and the number of accepted steps since it last changed, as when resuming from a checkpoint. Waits for the
  /// device. Fails unless the scale is positive and finite and the count is not negative.
  void set_loss_scale(float scale, int64_t good_steps = 0);

  /// Sets the learning rate of the steps queued from now on. Fails with UsageError if it is negative or not finite.
  void set_learning_rate(float rate);

  /// Skips the step if one of these floats is infinite or NaN.
  void check(const Tensor& values);
  /// Skips the step if a gradient of the last backward() is infinite or NaN. Reads the gradient arenas once.
  void check_gradients(ParameterStore& store);
  /// Counts the step as accepted or skipped, and updates the scale.
  void finish_step();

  /// Pointer to device memory.
  StepState* state() const { return static_cast<StepState*>(state_.data()); }
  /// The state after all steps so far. Waits for the device.
  StepState read() const;
  /// Goes on from a checkpoint, whose run has skipped so many steps: an earlier divergence is forgotten. Waits for the device.
  void restart(int64_t skipped_steps, int64_t skipped_in_a_row);

 private:
  void write(const StepState& state);

  Device device_;
  std::optional<LossScaling> scaling_;
  int64_t most_skipped_;
  float learning_rate_ = 0.0f;  // set on the device, or queued to be
  Tensor state_;
  Tensor loss_scale_;  // a view into it
};

}  // namespace residua
