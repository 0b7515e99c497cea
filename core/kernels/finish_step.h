#pragma once

#include <cstdint>

#include "core/device/device_api.h"
#include "core/kernels/step_state.h"

namespace residua {

/// Counts a step as accepted or, where `found_inf` is set, as skipped, and moves the loss scale (Micikevicius et al. 2018,
/// section 3.2): times `backoff` after a skipped step; times `growth`, but not above `largest`, after every `growth_interval`
/// accepted ones in a row. An interval of 0 leaves the scale alone.
struct FinishStep {
  float growth;
  float backoff;
  float largest;
  int32_t growth_interval;
  StepState* state;  // updated; found_inf stays as it is
};

namespace cpu {
void run(const FinishStep& args, Stream& stream);
}  // namespace cpu
namespace cuda {
void run(const FinishStep& args, Stream& stream);
}  // namespace cuda

}  // namespace residua
