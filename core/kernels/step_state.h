#pragma once

#include <cstdint>

namespace residua {

/// Values that change from step to step. It lives on the device, so that a captured step reads the current ones.
struct StepState {
  float learning_rate;
  float loss_scale;   // gradients are loss_scale times too large; 1 without scaling
  int32_t found_inf;  // not 0: a gradient is infinite or NaN, the step is skipped
};

}  // namespace residua
