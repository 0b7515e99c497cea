#pragma once

#include <cstdint>

#include "core/device/device_api.h"
#include "core/kernels/step_state.h"

namespace residua {

/// Counts a step as skipped if `found_inf` is set, otherwise as accepted. Then updates the loss scale (Micikevicius et al.
/// 2018, section 3.2): multiplied by `backoff`, down to `smallest`, after a skipped step; multiplied by `growth`, up to
/// `largest`, after every `growth_interval` accepted steps in a row. An interval of 0 keeps the scale constant.
///
/// A skipped step lengthens the row of skipped steps if the scale cannot fall any more. When the row reaches `most_skipped`,
/// training has diverged: all later steps are skipped, so the weights stay as they were. 0: no limit.
struct FinishStep {
  float growth;
  float backoff;
  float smallest;
  float largest;
  int32_t growth_interval;
  int64_t most_skipped;
  StepState* state;  // updated; found_inf is then that of the next step: 0, or 1 after divergence
};

namespace cpu {
void run(const FinishStep& args, Stream& stream);
}  // namespace cpu
namespace cuda {
void run(const FinishStep& args, Stream& stream);
}  // namespace cuda

}  // namespace residua
