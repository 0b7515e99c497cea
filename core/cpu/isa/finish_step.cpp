#include "core/kernels/finish_step.h"

#include "core/cpu/isa.h"

namespace residua::cpu::RESIDUA_ISA {

void run(const FinishStep& args, Stream&) {
  StepState& s = *args.state;
  const bool skipped = s.found_inf != 0;
  const bool scaled = args.growth_interval != 0;
  const bool can_fall = scaled && s.loss_scale > args.smallest;
  ++(skipped ? s.skipped_steps : s.accepted_steps);
  s.skipped_in_a_row = !skipped ? 0 : can_fall ? s.skipped_in_a_row : s.skipped_in_a_row + 1;
  if (args.most_skipped > 0 && s.skipped_in_a_row >= args.most_skipped && s.diverged_at == 0) {
    s.diverged_at = s.accepted_steps + s.skipped_steps;
  }
  s.found_inf = s.diverged_at != 0 ? 1 : 0;
  if (!scaled) {
    return;
  }
  s.good_steps = skipped ? 0 : s.good_steps + 1;
  if (skipped && can_fall) {
    const float fallen = s.loss_scale * args.backoff;
    s.loss_scale = fallen > args.smallest ? fallen : args.smallest;
  } else if (s.good_steps == args.growth_interval) {
    const float grown = s.loss_scale * args.growth;
    s.loss_scale = grown < args.largest ? grown : args.largest;
    s.good_steps = 0;
  }
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(residua::FinishStep)
