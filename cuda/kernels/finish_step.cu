// Updates the counters and the loss scale of a step. One thread.
#include "core/kernels/finish_step.h"

#include "cuda/device/launch.cuh"

namespace residua::cuda {
namespace {

__global__ void finish_step_kernel(FinishStep args) {
  if (global_thread() != 0) {
    return;
  }
  StepState s = *args.state;
  const bool skipped = s.found_inf != 0;
  ++(skipped ? s.skipped_steps : s.accepted_steps);
  if (args.growth_interval != 0) {
    s.good_steps = skipped ? 0 : s.good_steps + 1;
    if (skipped) {
      s.loss_scale *= args.backoff;
    } else if (s.good_steps == args.growth_interval) {
      s.loss_scale = fminf(s.loss_scale * args.growth, args.largest);
      s.good_steps = 0;
    }
  }
  *args.state = s;
}

}  // namespace

void run(const FinishStep& args, Stream& stream) { launch(stream, {1, block_threads(32)}, finish_step_kernel, args); }

}  // namespace residua::cuda
