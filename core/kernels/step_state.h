#pragma once

#include <cstdint>

namespace residua {

/// Values that change from step to step. It lives on the device, so that a captured step reads the current ones.
struct StepState {
  float learning_rate = 0.0f;
  float loss_scale = 1.0f;     // gradients are loss_scale times too large; 1 without scaling
  int32_t found_inf = 0;       // not 0: a gradient is infinite or NaN, the step is skipped
  int32_t good_steps = 0;      // accepted since the loss scale last changed
  int64_t accepted_steps = 0;  // ever
  int64_t skipped_steps = 0;   // ever
};

}  // namespace residua
