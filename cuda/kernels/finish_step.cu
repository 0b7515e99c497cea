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
  const bool scaled = args.growth_interval != 0;
  const bool can_fall = scaled && s.loss_scale > args.smallest;
  ++(skipped ? s.skipped_steps : s.accepted_steps);
  s.skipped_in_a_row = !skipped ? 0 : can_fall ? s.skipped_in_a_row : s.skipped_in_a_row + 1;
  if (args.most_skipped > 0 && s.skipped_in_a_row >= args.most_skipped && s.diverged_at == 0) {
    s.diverged_at = s.accepted_steps + s.skipped_steps;
  }
  s.found_inf = s.diverged_at != 0 ? 1 : 0;
  if (scaled) {
    s.good_steps = skipped ? 0 : s.good_steps + 1;
    if (skipped && can_fall) {
      s.loss_scale = fmaxf(s.loss_scale * args.backoff, args.smallest);
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
