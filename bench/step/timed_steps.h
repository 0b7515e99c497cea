#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "bench/ranks/timed_ranks.h"
#include "core/train/train_step.h"

namespace residua::bench {

/// What timed steps took. `held` are those between them whose sums over the ranks started only after the backward pass.
struct TimedSteps {
  std::vector<StepTimes> steps, held;
};

/// Times `count` steps of a rank; if `with_held` is set, each is followed by one that holds its sums back.
TimedSteps time_steps(TrainStep& step, const Batch& batch, int count, bool with_held, StepClock& clock, TimedRanks& ranks);

/// Prints on rank 0 what the overlap saves. `seconds` are those of the steps before the `held` ones, of the slowest rank.
/// Returns
/// {"beside_ms", "after_ms", "exchange"}: the times of all steps, and sum_times() of the held ones.
nlohmann::json compare_overlap(const std::vector<double>& seconds, const std::vector<StepTimes>& held, Communicator& all);

}  // namespace residua::bench
