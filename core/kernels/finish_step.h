#pragma once

#include <cstdint>

#include "core/device/device_api.h"
#include "core/kernels/step_state.h"

namespace residua {

/// Counts a step as skipped if `found_inf` is set, otherwise as accepted. Then updates the loss scale (Micikevicius et al.
/// 2018, section 3.2): multiplied by `backoff` after a skipped step; multiplied by `growth`, up to `largest`, after every
/// `growth_interval` accepted steps in a row. An interval of 0 keeps the scale constant.
struct FinishStep {
  float growth;
  float backoff;
  float largest;
  int32_t growth_interval;
  StepState* state;  // updated; found_inf is unchanged
};

namespace cpu {
void run(const FinishStep& args, Stream& stream);
}  // namespace cpu
namespace cuda {
void run(const FinishStep& args, Stream& stream);
}  // namespace cuda

}  // namespace residua
