#pragma once

#include <cstdint>
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

/// Owns what changes from step to step (StepState), on the device: a captured step reads the current values, and none waits
/// for the device. Without LossScaling the scale is 1, no gradient is checked and every step is accepted.
///
/// A step is: backward() from loss_scale(), check_gradients(), then whatever reads state() (Sgd::step(), the commit of batch
/// statistics), then finish_step().
class GradScaler {
 public:
  /// Fails with UsageError on numbers with which a scale would not move as described.
  explicit GradScaler(Device device, const std::optional<LossScaling>& scaling = {});
  GradScaler(const GradScaler&) = delete;
  GradScaler& operator=(const GradScaler&) = delete;

  const std::optional<LossScaling>& scaling() const { return scaling_; }

  /// How many times too large the gradients are to be: a scalar on the device, to start backward() from.
  Tensor loss_scale() const { return loss_scale_; }
  /// Goes on with a scale and a number of accepted steps since it changed, as from a checkpoint. Waits for the device. Fails
  /// unless the scale is positive and finite and the count not negative.
  void set_loss_scale(float scale, int64_t good_steps = 0);

  /// The rate of the steps that are queued from now on. Fails with UsageError when it is negative or not finite.
  void set_learning_rate(float rate);

  /// Sets the state's found_inf to whether a gradient of the last backward() is infinite or NaN: the step is then skipped.
  void check_gradients(ParameterStore& store);
  /// Counts the step as accepted or skipped, and moves the scale.
  void finish_step();

  /// On the device.
  StepState* state() const { return static_cast<StepState*>(state_.data()); }
  /// The state after all steps so far. Waits for the device. Fails once the scale is so small that scaling cannot be the cause
  /// of overflows.
  StepState read() const;

 private:
  void write(const StepState& state);

  Device device_;
  std::optional<LossScaling> scaling_;
  float learning_rate_ = 0.0f;  // that the device has, or will have
  Tensor state_;
  Tensor loss_scale_;  // a view into it
};

}  // namespace residua
