#pragma once

#include <cstdint>
#include <string>

#include "core/run/event_log.h"

namespace residua {

/// Whoever watches a run. The trainer tells what happens; how that is shown is the observer's.
class RunObserver {
 public:
  virtual ~RunObserver() = default;
  /// The steps since the last report. `seconds_left`: until the end of the run, by the speed of these steps.
  virtual void trained(const TrainRecord& /*record*/, int64_t /*total_iterations*/, double /*seconds_left*/) {}
  virtual void evaluated(const EvaluationRecord& /*record*/) {}
  /// Anything else, in one line or a few.
  virtual void note(const std::string& /*text*/) {}
};

}  // namespace residua
