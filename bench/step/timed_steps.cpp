#include "bench/step/timed_steps.h"

#include <fmt/format.h>

#include "bench/ranks/rank_times.h"

namespace residua::bench {

TimedSteps time_steps(TrainStep& step, const Batch& batch, int count, bool with_held, StepClock& clock, TimedRanks& ranks) {
  // As in training, the device never waits between steps: the next batch is uploaded meanwhile.
  const int each = with_held ? 2 : 1;
  clock.next_step();
  for (int i = 0; i < each * count; ++i) {
    ranks.hold(i % each == 1);
    step.train(batch);
    clock.next_step();
  }
  TimedSteps timed;
  for (const StepTimes& times : clock.steps()) {
    const bool held = with_held && timed.steps.size() > timed.held.size();
    (held ? timed.held : timed.steps).push_back(times);
  }
  return timed;
}

nlohmann::json compare_overlap(const std::vector<double>& seconds, const std::vector<StepTimes>& held, Communicator& all) {
  const std::vector<double> after = of_all_ranks(all, held).seconds;
  nlohmann::json beside_ms = nlohmann::json::array(), after_ms = nlohmann::json::array();
  std::vector<double> saved;
  for (size_t i = 0; i < after.size(); ++i) {
    beside_ms.push_back(seconds[i] * 1e3);
    after_ms.push_back(after[i] * 1e3);
    saved.push_back(after[i] - seconds[i]);
  }
  if (all.leads()) {
    fmt::print("a step whose sums start after the backward pass takes {:.2f} ms, {:.2f} ms more\n", median(after) * 1e3,
               median(saved) * 1e3);
  }
  return {{"beside_ms", beside_ms}, {"after_ms", after_ms}, {"exchange", sum_times(held)}};
}

}  // namespace residua::bench
