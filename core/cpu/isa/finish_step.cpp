#include "core/kernels/finish_step.h"

#include "core/cpu/isa.h"

namespace residua::cpu::RESIDUA_ISA {

void run(const FinishStep& args, Stream&) {
  StepState& s = *args.state;
  const bool skipped = s.found_inf != 0;
  ++(skipped ? s.skipped_steps : s.accepted_steps);
  if (args.growth_interval == 0) {
    return;
  }
  s.good_steps = skipped ? 0 : s.good_steps + 1;
  if (skipped) {
    s.loss_scale *= args.backoff;
  } else if (s.good_steps == args.growth_interval) {
    const float grown = s.loss_scale * args.growth;
    s.loss_scale = grown < args.largest ? grown : args.largest;
    s.good_steps = 0;
  }
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(residua::FinishStep)
