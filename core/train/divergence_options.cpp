#include "core/train/divergence_options.h"

#include <limits>

#include "core/config/settings.h"

namespace residua {

void declare(Settings& s, DivergenceOptions& o) {
  s.number("max-skipped-steps", o.max_skipped_steps, between(1, std::numeric_limits<int32_t>::max()),
           "Skipped steps in a row after which training counts as diverged. A step is skipped if its loss or a gradient is not "
           "finite. In fp16, steps that only lower the loss scale do not count.")
      .without_result()
      .same_on_all_ranks();
  s.choice(
       "on-divergence", o.on_divergence,
       "What to do when training has diverged. stop: end with an error. rollback: go back to the last checkpoint once, and go "
       "on with the images after the last skipped step; the second time, stop.")
      .without_result()
      .same_on_all_ranks();
}

}  // namespace residua
