#pragma once

#include <cstdint>

namespace residua {

/// Values that change from step to step. They are in device memory, so a captured step reads the current ones.
struct StepState {
  float learning_rate = 0.0f;
  float loss_scale = 1.0f;       // gradients are multiplied by this; 1 for no scaling
  int32_t found_inf = 0;         // nonzero: the step's loss or a gradient is infinite or NaN, so the step is skipped
  int32_t good_steps = 0;        // accepted steps since the loss scale last changed
  int64_t accepted_steps = 0;    // total
  int64_t skipped_steps = 0;     // total
  int64_t skipped_in_a_row = 0;  // now; steps that only lowered the loss scale do not count
  int64_t diverged_at = 0;       // number of the step that ended the first row of too many skipped steps; 0: none
};

}  // namespace residua
